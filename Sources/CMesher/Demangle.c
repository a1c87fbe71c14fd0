// SPDX-License-Identifier: Apache-2.0
#include "Demangle.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

// Of Swift's runtime, which has no header for it.
char *swift_demangle(const char *name, size_t length, char *output, size_t *output_size, uint32_t flags);
// Of the C++ library, where one is linked.
char *__cxa_demangle(const char *name, char *output, size_t *length, int *status) __attribute__((weak));

char *cmesher_demangle(const char *name) {
    size_t length = strlen(name);
    if (length > 1 && name[0] == '_' && name[1] == 'Z') {
        int status = 0;
        return __cxa_demangle == NULL ? NULL : __cxa_demangle(name, NULL, NULL, &status);
    }
    return swift_demangle(name, length, NULL, NULL, 0);
}
