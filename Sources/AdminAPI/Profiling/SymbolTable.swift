// SPDX-License-Identifier: Apache-2.0

import CMesher
import FoundationEssentials
import Glibc

/// A function.
struct Symbol: Hashable, Sendable {
    /// As people write it: Swift and C++ names are demangled.
    let name: String
    /// As the linker knows it.
    let systemName: String
}

/// The names of this process's functions, from the files that are mapped into it.
///
/// Nothing is kept between questions, so that asking leaves no memory behind: ask for many addresses at once.
/// Cost of a question: 20 to 50 ms of the calling thread for a binary of 170 MB, which must not be an event loop; pages of
/// the file, up to some 20 MB, count as resident meanwhile.
struct SymbolTable: Sendable {
    /// What was mapped when the table was made.
    let map: MemoryMap

    /// Of the process as it is now; libraries that are loaded later are not in it.
    init() { self.map = MemoryMap.current() }

    /// Of the files that `map` says.
    init(map: MemoryMap) { self.map = map }

    /// The function at an address of this process; `nil` when no file names it.
    ///
    /// For a return address subtract 1: it may be the first of the next function.
    func symbol(at address: UInt) -> Symbol? { self.symbols(at: [address])[address] }

    /// The functions at many addresses; those that no file names are left out.
    func symbols(at addresses: some Sequence<UInt>) -> [UInt: Symbol] {
        var byFile: [String: [(address: UInt, fileOffset: UInt64)]] = [:]
        for address in Set(addresses) {
            guard let entry = self.map.entry(at: address) else { continue }
            byFile[entry.path, default: []].append((address, entry.fileOffset(of: address)))
        }
        let program = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        var found: [UInt: Symbol] = [:]
        for (path, places) in byFile {
            // The link leads to the running program even when its file has been replaced since.
            guard let file = Self.file(path == program ? "/proc/self/exe" : path) else { continue }
            let own = places.map { (address: $0.address, inFile: file.address(ofByteAt: $0.fileOffset)) }
            let names = (Self.symbolsFile(of: file, at: path) ?? file).names(at: own.compactMap(\.inFile))
            var symbols: [String: Symbol] = [:]
            for (address, inFile) in own {
                guard let inFile, let name = names[inFile] else { continue }
                let symbol = symbols[name] ?? Symbol(name: Self.demangled(name) ?? name, systemName: name)
                symbols[name] = symbol
                found[address] = symbol
            }
        }
        return found
    }

    /// The readable form of a mangled name of Swift or C++; `nil` when it is neither.
    static func demangled(_ name: String) -> String? {
        guard let text = unsafe cmesher_demangle(name) else { return nil }
        defer { unsafe free(text) }
        return unsafe String(cString: text)
    }

    /// The file that has the names of a stripped one: `.debug/mesher.debug` beside `mesher`, or where Debian puts them.
    ///
    /// - Returns: `nil` when the file has its own names, or when there is none of the same build.
    private static func symbolsFile(of file: ELFFile, at path: String) -> ELFFile? {
        guard file.isStripped, file.buildID.count > 1 else { return nil }
        let name = path.split(separator: "/").last ?? ""
        let id = file.buildID.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
        let places = [
            "\(path.dropLast(name.count)).debug/\(name).debug",
            "/usr/lib/debug/.build-id/\(id[0])/\(id[1...].joined()).debug",
        ]
        for place in places {
            if let other = Self.file(place), other.buildID == file.buildID, !other.isStripped { return other }
        }
        return nil
    }

    /// Maps a file.
    ///
    /// It is not copied: what is looked at is in the system's page cache anyway.
    ///
    /// A file that is cut short while it is mapped would end the process; so would its code, which is mapped as well.
    private static func file(_ path: String) -> ELFFile? {
        // "[vdso]" is no file; a deleted one may have been replaced by another version.
        guard path.hasPrefix("/"), !path.hasSuffix(" (deleted)") else { return nil }
        return (try? Data(contentsOf: URL(fileURLWithPath: path), options: .alwaysMapped)).flatMap { ELFFile($0) }
    }
}
