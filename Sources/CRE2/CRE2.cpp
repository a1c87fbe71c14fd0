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

void cre2_free(cre2_pattern *pattern) { delete pattern; }
