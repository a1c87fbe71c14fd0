// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Common
import FoundationEssentials

/// What shells offer behind `mesher` when Tab is pressed.
enum Completions {
    /// Files of configuration.
    static let files = CompletionKind.file(extensions: ["yaml", "yml"])
    /// Manifests of Kubernetes.
    static let manifests = CompletionKind.file(extensions: ["yaml", "yml", "json"])
    /// The usual methods.
    static let methods = CompletionKind.list(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    /// Where the admin API is, unless somebody has moved it.
    static let admin = CompletionKind.list(["127.0.0.1:30102"])
    /// Names of keys, and behind `--schema` those of files.
    static let references = CompletionKind.custom { words, index, _ in
        let word = words.indices.contains(index) ? words[index] : ""
        return words.contains("--schema") ? ConfigSchema.files : KeyNames.beginning(word)
    }
    /// What may stand anywhere behind a command that reads the configuration: `--key=value`, and words.
    static let settings = CompletionKind.custom { words, index, _ in Self.setting(words, index) }

    /// - Parameter index: That of the word at the cursor.
    static func setting(_ words: [String], _ index: Int) -> [String] {
        let word = words.indices.contains(index) ? words[index] : ""
        // A word of bash ends at `=`, which is one of its own.
        let equals = word == "=" ? index : index - 1
        if equals > 0, equals < words.count, words[equals] == "=" {
            return KeyNames.values(of: Self.key(words[equals - 1]))
        }
        guard word.hasPrefix("-") else {
            if words.contains("check") { return Self.paths(word) { $0.hasSuffix(".yaml") } }
            guard words.contains("config") else { return [] }
            return word.contains("/") ? Self.paths(word) : KeyNames.beginning(word)
        }
        guard let equals = word.firstIndex(of: "=") else {
            // Behind two dashes people look for options, and there are hundreds of keys.
            if word.count <= 2 { return [] }
            return KeyNames.beginning(Self.key(word)).map { "--\($0)=" }
        }
        return KeyNames.values(of: Self.key(String(word[..<equals]))).map { "\(word[...equals])\($0)" }
    }

    private static func key(_ option: String) -> String { String(option.drop { $0 == "-" }) }

    /// Folders, and such files, whose paths begin so.
    private static func paths(_ word: String, besides isFile: (String) -> Bool = { _ in false }) -> [String] {
        let parent = word.lastIndex(of: "/").map { String(word[...$0]) } ?? ""
        let names = (try? FileManager.default.contentsOfDirectory(atPath: parent.isEmpty ? "." : parent)) ?? []
        return names.sorted().map { parent + $0 }
            .filter { $0.hasPrefix(word) && (isFile($0) || FileManager.default.isFolder($0)) }
    }

    // MARK: Scripts

    /// The script for a shell that the arguments ask for; `nil` when they do not.
    static func script(_ arguments: [String]) -> String? {
        guard let index = arguments.firstIndex(of: "--generate-completion-script"), index + 1 < arguments.count,
            let shell = CompletionShell(rawValue: arguments[index + 1])
        else { return nil }
        let script = MesherCommand.completionScript(for: shell)
        return switch shell {
        case .bash: script + Self.bash
        case .zsh: script.replacing(Self.zshEnd, with: Self.zsh + Self.zshEnd)
        case .fish: Self.fish(script)
        default: script
        }
    }

    /// `run` may be left out, a value follows `=` without a blank, and `=` needs no backslash.
    private static let bash = """

        _mesher_words() {
            if [[ "${COMP_WORDS[1]-}" == -* ]]; then
                COMP_WORDS=("${COMP_WORDS[0]}" run "${COMP_WORDS[@]:1}")
                ((COMP_CWORD++))
            fi
            _mesher "$@"
            [[ "${COMPREPLY[0]-}" != -* ]] || compopt +o filenames
            [[ "${COMPREPLY[0]-}" != *= ]] || compopt -o nospace
        }
        complete -o filenames -F _mesher_words mesher

        """

    /// Where the library's script ends: it calls its function, or names it as the one to call.
    private static let zshEnd = "if [[ \"${funcstack[1]}\" = _mesher ]]; then"
    /// The same for zsh, whose `_arguments` takes what begins with a dash for an option of its list.
    private static let zsh = #"""
        functions[__mesher_commands]="${functions[_mesher]}"

        _mesher() {
            if [[ "${words[2]-}" == -* && "${words[2]}" != --version ]]; then
                words=("${words[1]}" run "${(@)words[2,-1]}")
                ((CURRENT++))
            fi
            if [[ "${words[CURRENT]}" == --*[.=]* && "${words[2]}" == (run|check|config) ]]; then
                local -a found
                found=("${(@f)"$(SAP_SHELL=bash "${words[1]}" ---completion "${words[2]}" -- positional@0 \
                    "$((CURRENT - 1))" "${#words[CURRENT]}" "${words[@]}" 2> /dev/null)"}")
                compadd -S '' -- "${(@)found:#}"
                return
            fi
            __mesher_commands "$@"
        }


        """#

    /// Fish offers behind the program itself what it offers behind `run`.
    ///
    /// Nobody asks for the place of the cursor within a word, which fish tells only at a keyboard.
    private static func fish(_ script: String) -> String {
        let lines = script.split(separator: "\n", omittingEmptySubsequences: false)
        let own = lines.filter {
            $0.contains("\"mesher run\"") && !$0.contains("-l 'help'") && !$0.contains("-l 'version'")
        }
        .map { $0.replacing("\"mesher run\"", with: "\"mesher\"") }
        return (lines + own).joined(separator: "\n").replacing("(__mesher_tokens -tC)", with: "0") + "\n"
    }
}
