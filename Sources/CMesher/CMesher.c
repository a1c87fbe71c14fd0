// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CMesher.h"

#include <pthread.h>
#include <stdlib.h>

#ifdef __GLIBC__
#include <malloc.h>

void cmesher_trim_memory(void) { malloc_trim(0); }
#else
// Other allocators do so by themselves.
void cmesher_trim_memory(void) {}
#endif

void cmesher_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }
