// SPDX-License-Identifier: Apache-2.0
// System calls that Swift's module of the C library leaves out.
#ifndef MESHER_CMESHER_H
#define MESHER_CMESHER_H

#include "Allocator.h"
#include "Demangle.h"
#include "Gzip.h"
#include "Profiler.h"
#include "SessionCache.h"
#include "Terminal.h"

/// Gives memory that was freed back to the system.
void cmesher_trim_memory(void);

/// Names the calling thread, for tools; names of more than 15 bytes change nothing.
void cmesher_name_thread(const char *name);

#endif
