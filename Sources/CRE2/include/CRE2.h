// SPDX-License-Identifier: Apache-2.0
// The little of RE2 that mesher uses, as C: https://github.com/google/re2
#ifndef MESHER_CRE2_H
#define MESHER_CRE2_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/// A compiled expression; may be used by several threads at once.
typedef struct cre2_pattern cre2_pattern;

/// Compiles `length` bytes of RE2 syntax.
///
/// Returns NULL when they are no expression; `error` then holds why, cut to `error_size` bytes with the final zero.
cre2_pattern *cre2_compile(const char *text, size_t length, char *error, size_t error_size);

/// Whether the expression matches anywhere in the text.
bool cre2_search(const cre2_pattern *pattern, const char *text, size_t length);

/// Whether the expression matches the whole text.
bool cre2_match(const cre2_pattern *pattern, const char *text, size_t length);

/// The highest number by which a group can be asked for.
#define CRE2_MOST_GROUPS 9

/// How many groups the expression has, besides the whole match.
int cre2_groups(const cre2_pattern *pattern);

/// Finds the first match that begins at `start` or behind it.
///
/// `spans` gets where the first `count` groups begin and end, the whole match as the first one, two offsets for each; -1 for
/// a group that is no part of the match. Returns false, and leaves `spans`, when there is no match. `text` must not be NULL.
bool cre2_find(const cre2_pattern *pattern, const char *text, size_t length, size_t start, ptrdiff_t *spans,
               size_t count);

/// Frees a compiled expression.
void cre2_free(cre2_pattern *pattern);

#ifdef __cplusplus
}
#endif
#endif
