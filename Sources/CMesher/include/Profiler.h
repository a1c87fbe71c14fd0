// SPDX-License-Identifier: Apache-2.0
// Samples of where this process spends its CPU time. `Profiler.c` says how.
#ifndef MESHER_PROFILER_H
#define MESHER_PROFILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// The deepest stack that a sample holds; what called the 64th frame is left out.
#define CMESHER_PROFILE_DEPTH 64

/// What a profile could not see.
typedef struct {
    /// Samples for which the buffer had no room.
    uint64_t dropped;
    /// Threads that could not be given a timer, counted once for each look at them.
    uint64_t unwatched;
    /// Whether samples have their callers; without them the system forbids `process_vm_readv`.
    bool has_callers;
} cmesher_profile_gaps;

/// Installs the signal handler and a buffer of `words` words; no thread is watched yet.
///
/// Returns 0, EBUSY (a profile is being taken, or a handler of somebody else has SIGPROF), ENOTSUP (neither Linux on
/// x86-64 nor on arm64), EINVAL, or the system's reason for refusing the memory.
int cmesher_profile_start(unsigned hertz, size_t words);

/// Starts to watch the threads that have come since the last call, and forgets those that have ended.
///
/// Reads /proc/self/task. Returns 0, or why not a single thread can be watched.
int cmesher_profile_watch(void);

/// Stops all timers and leaves SIGPROF ignored. Afterwards the buffer does not change. Waits for handlers that run.
void cmesher_profile_stop(void);

/// The samples, after `cmesher_profile_stop` and before `cmesher_profile_release`.
///
/// Each is a word that holds the number of clock periods it stands for (upper half) and of its addresses (lower half),
/// then the addresses, innermost first: the program counter, then return addresses. A zero word ends them.
const uint64_t *cmesher_profile_samples(size_t *words);

/// What is missing from the samples.
cmesher_profile_gaps cmesher_profile_missing(void);

/// Unmaps the buffer, after which another profile can be started.
void cmesher_profile_release(void);

#endif
