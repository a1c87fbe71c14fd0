// SPDX-License-Identifier: Apache-2.0
#include "CMesher.h"

#include <stdlib.h>

#ifdef __GLIBC__
#include <malloc.h>

void cmesher_trim_memory(void) { malloc_trim(0); }
#else
// Other allocators do so by themselves.
void cmesher_trim_memory(void) {}
#endif
