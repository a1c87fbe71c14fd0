// SPDX-License-Identifier: Apache-2.0
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "Allocator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __GLIBC__
#include <malloc.h>

bool cmesher_allocator_read(cmesher_allocator_totals *totals) {
    memset(totals, 0, sizeof *totals);
#if __GLIBC_PREREQ(2, 33)
    struct mallinfo2 info = mallinfo2();
    totals->arenas = info.arena;
    totals->used = info.uordblks;
    totals->free = info.fordblks;
    totals->trimmable = info.keepcost;
    totals->mapped = info.hblkhd;
    totals->mapped_blocks = info.hblks;
    return true;
#else
    return false;  // mallinfo counts in int: wrong beyond 2 GiB
#endif
}

char *cmesher_allocator_document(void) {
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (stream == NULL) return NULL;
    int failure = malloc_info(0, stream);
    if (fclose(stream) != 0 || failure != 0) {
        free(text);
        return NULL;
    }
    return text;
}
#else
bool cmesher_allocator_read(cmesher_allocator_totals *totals) {
    memset(totals, 0, sizeof *totals);
    return false;
}

char *cmesher_allocator_document(void) { return NULL; }
#endif
