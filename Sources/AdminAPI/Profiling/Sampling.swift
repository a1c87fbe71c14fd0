// SPDX-License-Identifier: Apache-2.0

import CMesher
import FoundationEssentials
import Glibc

/// One run of the sampler, which ends when the value does.
///
/// While there is one, there can be no other.
struct Sampling: ~Copyable {
    /// The CPU time that one sample stands for, in nanoseconds.
    let period: Int64
    private var isStopped = false

    /// 64 MiB, of which only what is written is ever taken.
    private static let mostWords = 8 * 1024 * 1024

    /// Installs the signal handler and the buffer.
    ///
    /// No thread is looked at before `watch`.
    ///
    /// - Parameter frequency: Samples for each second of CPU time, at least 1 and at most 1,000.
    /// - Parameter duration: How long it shall last, from which follows the size of the buffer.
    init(frequency: Int, duration: Duration) throws(ProfileError) {
        let seconds = Int(max(1, min(duration.components.seconds + 1, 3600)))
        let processors = max(1, min(ProcessInfo.processInfo.activeProcessorCount, 1024))
        let frequency = max(1, min(frequency, 1000))
        // All processors busy, and every stack as deep as it can be.
        let words = seconds * processors * frequency * (Int(CMESHER_PROFILE_DEPTH) + 1) + 4096
        try Self.check(cmesher_profile_start(UInt32(frequency), min(words, Self.mostWords)))
        // Last: a value that is complete when `init` throws would be ended, and with it the profile that is running.
        self.period = 1_000_000_000 / Int64(frequency)
    }

    deinit {
        if !self.isStopped { cmesher_profile_stop() }
        cmesher_profile_release()
    }

    /// Looks at the threads that there are now.
    ///
    /// Cost: reads `/proc/self/task`; two system calls for a new thread.
    mutating func watch() throws(ProfileError) { try Self.check(cmesher_profile_watch()) }

    /// Ends the sampling; what was found stays until the value ends.
    mutating func stop() {
        guard !self.isStopped else { return }
        cmesher_profile_stop()
        self.isStopped = true
    }

    /// Clock periods by stack, after `stop`; see `SampleLog`.
    func stacks(isCode: (UInt) -> Bool) -> [[UInt]: Int] {
        guard self.isStopped else { return [:] }
        var count = 0
        let words = unsafe cmesher_profile_samples(&count)
        return SampleLog.stacks(in: unsafe UnsafeBufferPointer(start: words, count: count).span, isCode: isCode)
    }

    /// What the samples do not show, in words.
    var gaps: [String] {
        let missing = cmesher_profile_missing()
        var texts: [String] = []
        if missing.dropped > 0 { texts.append("\(missing.dropped) samples did not fit and are missing") }
        if missing.unwatched > 0 {
            texts.append("some threads could not be watched: too many timers (ulimit -i), or no memory")
        }
        if !missing.has_callers {
            texts.append("no callers: the system (seccomp) does not allow process_vm_readv on the own process")
        }
        return texts
    }

    private static func check(_ error: Int32) throws(ProfileError) {
        switch error {
        case 0: return
        case EBUSY: throw .alreadyRunning
        case ENOTSUP: throw .notSupported("it needs Linux on x86-64 or arm64")
        default: throw .notSupported(unsafe strerror(error).map { unsafe String(cString: $0) } ?? "error \(error)")
        }
    }
}
