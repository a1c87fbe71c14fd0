// SPDX-License-Identifier: Apache-2.0
// Readable names of functions.
#ifndef MESHER_DEMANGLE_H
#define MESHER_DEMANGLE_H

/// The readable form of a mangled name of Swift or C++, to be freed with `free`; NULL when it is neither.
char *cmesher_demangle(const char *name);

#endif
