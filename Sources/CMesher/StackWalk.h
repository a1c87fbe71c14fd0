// SPDX-License-Identifier: Apache-2.0
// Who called whom on an interrupted thread. Inside this module only.
#ifndef MESHER_STACKWALK_H
#define MESHER_STACKWALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

/// Notes which memory is code now. To be called before the first walk, and not from a signal handler.
void cmesher_walk_prepare(void);

/// Writes the interrupted address and the return addresses, innermost first; returns how many, from 1 to `most`.
///
/// May be called in a signal handler, on the thread that the context is of. Memory is read by a system call that fails
/// where a load would crash; it may change `errno`.
size_t cmesher_walk(const ucontext_t *context, uint64_t *addresses, size_t most);

/// Whether the system has let us read the stack since `cmesher_walk_prepare`; else there are no callers.
bool cmesher_walk_is_allowed(void);

#endif
