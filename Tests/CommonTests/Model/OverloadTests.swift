// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@Suite struct OverloadTests {
    @Test("rises at 85 and 95 %, and falls three points lower")
    func hysteresis() {
        var level = Overload.Level.normal
        let levels = [84, 85, 83, 81, 94, 95, 93, 92, 91, 82, 81, 99, 50].map { used in
            level = level.next(used: used, limit: 100)
            return level
        }
        #expect(
            levels == [
                .normal, .high, .high, .normal, .high, .critical, .critical, .critical, .high, .high, .normal,
                .critical,
                .normal,
            ])
        #expect(Overload.Level.critical.next(used: 1 << 40, limit: 0) == .normal)
    }

    @Test("the configured limit counts before the system's")
    func limits() {
        let overload = Overload(limit: 0, systemLimit: 7)
        #expect(overload.limit == 7)
        overload.setLimit(5)
        #expect(overload.limit == 5)
        #expect(!overload.endsConnections && !overload.refusesRequests)
        overload.set(.high)
        #expect(overload.endsConnections && !overload.refusesRequests)
        overload.set(.critical)
        #expect(overload.endsConnections && overload.refusesRequests)
    }
}

@Suite struct ProcessMemoryTests {
    @Test("reads the resident pages")
    func resident() throws {
        #expect(ProcessMemory.resident("9000 250 30 1 0 9 0\n", pageSize: 4096) == 250 * 4096)
        #expect(ProcessMemory.resident("", pageSize: 4096) == nil)
        #expect(try #require(ProcessMemory.system.resident()) > 1 << 20)
    }

    @Test(
        "finds the smallest limit of the group and those around it, in both versions",
        arguments: [
            ("0::/a/b\n", ["/sys/fs/cgroup/a/b/memory.max": "max\n", "/sys/fs/cgroup/a/memory.max": "1000\n"], 1000),
            ("0::/\n", ["/sys/fs/cgroup/memory.max": "2000\n"], 2000),
            ("0::/../other\n", ["/sys/fs/cgroup/memory.max": "2000\n"], 2000),
            (
                "5:cpu,memory:/x\n1:name=systemd:/y\n",
                [
                    "/sys/fs/cgroup/memory/memory.limit_in_bytes": "3000",
                    "/sys/fs/cgroup/memory/x/memory.limit_in_bytes": "500",
                ],
                500
            ),
            ("4:memory:/x\n", ["/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"], nil),
            ("0::/a\n", [:], nil), ("", [:], nil), ("nonsense", ["/sys/fs/cgroup/memory.max": "1"], nil),
        ] as [(String, [String: String], Int?)])
    func limit(groups: String, files: [String: String], expected: Int?) {
        #expect(ProcessMemory.limit(groups: groups) { files[$0] } == expected)
    }

    @Test(
        "finds the smallest quota of processors likewise",
        arguments: [
            (
                "0::/a/b\n",
                ["/sys/fs/cgroup/a/b/cpu.max": "max 100000\n", "/sys/fs/cgroup/a/cpu.max": "150000 100000\n"], 1.5
            ),
            ("0::/\n", ["/sys/fs/cgroup/cpu.max": "50000 100000\n"], 0.5),
            ("0::/\n", ["/sys/fs/cgroup/cpu.max": "max 100000\n"], nil),
            (
                "5:cpu,cpuacct:/x\n",
                [
                    "/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "200000\n",
                    "/sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
                ],
                2
            ),
            (
                "5:cpu:/\n",
                ["/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"], nil
            ),
            ("0::/\n", ["/sys/fs/cgroup/cpu.max": "nonsense"], nil), ("", [:], nil),
        ] as [(String, [String: String], Double?)])
    func quota(groups: String, files: [String: String], expected: Double?) {
        #expect(ProcessorQuota.processors(groups: groups) { files[$0] } == expected)
    }
}
