// SPDX-License-Identifier: Apache-2.0
// The little of libyaml that mesher uses, with flat events: https://pyyaml.org/wiki/LibYAML
#ifndef MESHER_CYAML_H
#define MESHER_CYAML_H

#include <stdbool.h>
#include <stddef.h>

/// A reader of one text; used by one thread at a time.
typedef struct cyaml_reader cyaml_reader;

/// What an event tells.
typedef enum {
    CYAML_STREAM_END,
    CYAML_DOCUMENT_START,
    CYAML_DOCUMENT_END,
    CYAML_ALIAS,
    CYAML_SCALAR,
    CYAML_LIST_START,
    CYAML_LIST_END,
    CYAML_MAP_START,
    CYAML_MAP_END,
} cyaml_kind;

/// A place in the text: line and column from 0, in characters.
typedef struct {
    size_t line;
    size_t column;
} cyaml_place;

/// One event. Texts end with a zero and hold until the next call.
typedef struct {
    cyaml_kind kind;
    cyaml_place start;
    cyaml_place end;
    /// Of a scalar; it may hold zeros.
    const char *text;
    size_t length;
    /// Whether a scalar has neither quotes nor a `|` or `>`.
    bool is_plain;
    /// Whether a list or map has brackets or braces.
    bool is_flow;
    /// The name behind `&` or `*`; NULL where there is none.
    const char *anchor;
    /// The tag, resolved; NULL where there is none.
    const char *tag;
} cyaml_event;

/// Why the text cannot be read on. Words are libyaml's own, constant; NULL where it has none.
typedef struct {
    /// What is wrong.
    const char *problem;
    cyaml_place place;
    /// What was being read when it was found, and where that begins.
    const char *context;
    cyaml_place context_place;
    /// Whether bytes are wrong, and not what they say; then `offset` counts bytes and there are no places.
    bool is_encoding;
    size_t offset;
    /// The last text in quotes before the problem, if there is one.
    bool has_quote;
    cyaml_place quote_start;
    cyaml_place quote_end;
} cyaml_failure;

/// A reader of `length` bytes of UTF-8, which it copies; NULL when memory is short.
cyaml_reader *cyaml_open(const char *text, size_t length);

/// The next event; false when there is a failure. Nothing comes after either CYAML_STREAM_END or a failure.
bool cyaml_next(cyaml_reader *reader, cyaml_event *event);

/// Why the last call of `cyaml_next` returned false.
cyaml_failure cyaml_why(const cyaml_reader *reader);

/// Frees a reader.
void cyaml_close(cyaml_reader *reader);

#endif
