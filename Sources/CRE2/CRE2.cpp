// SPDX-License-Identifier: Apache-2.0
#include "CRE2.h"

#include <re2/re2.h>

#include <cstdio>
#include <new>

struct cre2_pattern {
    explicit cre2_pattern(const re2::StringPiece &text, const re2::RE2::Options &options) : expression(text, options) {}
    re2::RE2 expression;
};

cre2_pattern *cre2_compile(const char *text, size_t length, char *error, size_t error_size) {
    re2::RE2::Options options(re2::RE2::Quiet);
    // Configuration is not trusted: what would need more than this to run is refused.
    options.set_max_mem(8 << 20);
    auto *pattern = new (std::nothrow) cre2_pattern(re2::StringPiece(text, length), options);
    if (pattern == nullptr || pattern->expression.ok()) return pattern;
    std::snprintf(error, error_size, "%s", pattern->expression.error().c_str());
    delete pattern;
    return nullptr;
}

bool cre2_search(const cre2_pattern *pattern, const char *text, size_t length) {
    return re2::RE2::PartialMatch(re2::StringPiece(text, length), pattern->expression);
}

bool cre2_match(const cre2_pattern *pattern, const char *text, size_t length) {
    return re2::RE2::FullMatch(re2::StringPiece(text, length), pattern->expression);
}

int cre2_groups(const cre2_pattern *pattern) { return pattern->expression.NumberOfCapturingGroups(); }

bool cre2_find(const cre2_pattern *pattern, const char *text, size_t length, size_t start, ptrdiff_t *spans,
               size_t count) {
    re2::StringPiece groups[CRE2_MOST_GROUPS + 1];
    if (count > CRE2_MOST_GROUPS + 1) count = CRE2_MOST_GROUPS + 1;
    const re2::StringPiece input(text, length);
    if (!pattern->expression.Match(input, start, length, re2::RE2::UNANCHORED, groups, static_cast<int>(count))) {
        return false;
    }
    for (size_t index = 0; index < count; ++index) {
        const bool is_part = groups[index].data() != nullptr;
        spans[2 * index] = is_part ? groups[index].data() - text : -1;
        spans[2 * index + 1] = is_part ? spans[2 * index] + static_cast<ptrdiff_t>(groups[index].size()) : -1;
    }
    return true;
}

void cre2_free(cre2_pattern *pattern) { delete pattern; }
