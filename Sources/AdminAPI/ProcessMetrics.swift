// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import Glibc

/// What metrics tell of the process: the usual families of Prometheus clients.
///
/// - Source: Prometheus, "Writing client libraries", standard metrics; proc(5).
enum ProcessMetrics {
    /// The families; those that the system does not tell are missing.
    ///
    /// - Parameter startTime: When the process started, in seconds since 1970.
    static func families(startTime: Double) -> [MetricFamily] {
        var families = [
            MetricFamily(
                "process_start_time_seconds", help: "When the process started, in seconds since 1970.", startTime)
        ]
        if let usage = Self.processorTime {
            families.append(
                MetricFamily(
                    "process_cpu_seconds_total", help: "Processor time that the process has used.", kind: .counter,
                    usage))
        }
        if let (virtual, resident) = Self.memory {
            families.append(MetricFamily("process_virtual_memory_bytes", help: "Address space in use.", virtual))
            families.append(MetricFamily("process_resident_memory_bytes", help: "Memory in use.", resident))
        }
        if let open = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count {
            families.append(MetricFamily("process_open_fds", help: "Open files.", Double(open)))
        }
        var limit = rlimit()
        if unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
            families.append(
                MetricFamily("process_max_fds", help: "How many may be open.", Double(limit.rlim_cur)))
        }
        if let threads = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").count {
            families.append(MetricFamily("swift_threads", help: "Threads.", Double(threads)))
        }
        return families
    }

    private static var processorTime: Double? {
        var usage = rusage()
        guard unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return nil }
        return [usage.ru_utime, usage.ru_stime].reduce(0) { $0 + Double($1.tv_sec) + Double($1.tv_usec) / 1e6 }
    }

    private static var memory: (virtual: Double, resident: Double)? {
        guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return nil }
        let pages = text.split(separator: " ").compactMap { Double($0) }
        guard pages.count > 1 else { return nil }
        let size = Double(sysconf(Int32(_SC_PAGESIZE)))
        return (pages[0] * size, pages[1] * size)
    }
}
