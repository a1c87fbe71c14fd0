// SPDX-License-Identifier: Apache-2.0
#include "CYAML.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct cyaml_reader {
    yaml_parser_t parser;
    // libyaml keeps no copy of its own.
    unsigned char *text;
    // The one that was given out last; nothing at first.
    yaml_event_t event;
    bool has_quote;
    cyaml_place quote_start;
    cyaml_place quote_end;
};

static cyaml_place place(yaml_mark_t mark) { return (cyaml_place){.line = mark.line, .column = mark.column}; }

static bool is_quoted(yaml_scalar_style_t style) {
    return style == YAML_SINGLE_QUOTED_SCALAR_STYLE || style == YAML_DOUBLE_QUOTED_SCALAR_STYLE;
}

cyaml_reader *cyaml_open(const char *text, size_t length) {
    cyaml_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) return NULL;
    reader->text = malloc(length + 1);
    if (reader->text == NULL || !yaml_parser_initialize(&reader->parser)) {
        free(reader->text);
        free(reader);
        return NULL;
    }
    if (length > 0) memcpy(reader->text, text, length);
    yaml_parser_set_encoding(&reader->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader->parser, reader->text, length);
    return reader;
}

// The next event that somebody wants.
static bool advance(cyaml_reader *reader) {
    do {
        yaml_event_delete(&reader->event);
        if (!yaml_parser_parse(&reader->parser, &reader->event)) return false;
    } while (reader->event.type == YAML_STREAM_START_EVENT);
    return true;
}

bool cyaml_next(cyaml_reader *reader, cyaml_event *event) {
    if (!advance(reader)) return false;
    const yaml_event_t *from = &reader->event;
    *event = (cyaml_event){.start = place(from->start_mark), .end = place(from->end_mark)};
    switch (from->type) {
    case YAML_DOCUMENT_START_EVENT: event->kind = CYAML_DOCUMENT_START; break;
    case YAML_DOCUMENT_END_EVENT: event->kind = CYAML_DOCUMENT_END; break;
    case YAML_ALIAS_EVENT:
        event->kind = CYAML_ALIAS;
        event->anchor = (const char *)from->data.alias.anchor;
        break;
    case YAML_SCALAR_EVENT:
        event->kind = CYAML_SCALAR;
        event->text = (const char *)from->data.scalar.value;
        event->length = from->data.scalar.length;
        event->is_plain = from->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        event->anchor = (const char *)from->data.scalar.anchor;
        event->tag = (const char *)from->data.scalar.tag;
        if (is_quoted(from->data.scalar.style)) {
            reader->has_quote = true;
            reader->quote_start = event->start;
            reader->quote_end = event->end;
        }
        break;
    case YAML_SEQUENCE_START_EVENT:
        event->kind = CYAML_LIST_START;
        event->is_flow = from->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE;
        event->anchor = (const char *)from->data.sequence_start.anchor;
        event->tag = (const char *)from->data.sequence_start.tag;
        break;
    case YAML_SEQUENCE_END_EVENT: event->kind = CYAML_LIST_END; break;
    case YAML_MAPPING_START_EVENT:
        event->kind = CYAML_MAP_START;
        event->is_flow = from->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE;
        event->anchor = (const char *)from->data.mapping_start.anchor;
        event->tag = (const char *)from->data.mapping_start.tag;
        break;
    case YAML_MAPPING_END_EVENT: event->kind = CYAML_MAP_END; break;
    default: event->kind = CYAML_STREAM_END; break;
    }
    return true;
}

cyaml_failure cyaml_why(const cyaml_reader *reader) {
    const yaml_parser_t *parser = &reader->parser;
    cyaml_failure failure = {
        .problem = parser->problem,
        .place = place(parser->problem_mark),
        .context = parser->context,
        .context_place = place(parser->context_mark),
        .is_encoding = parser->error == YAML_READER_ERROR,
        .offset = parser->problem_offset,
        .has_quote = reader->has_quote,
        .quote_start = reader->quote_start,
        .quote_end = reader->quote_end,
    };
    // What was scanned already and had not become an event.
    for (const yaml_token_t *token = parser->tokens.head; token != parser->tokens.tail; token++) {
        if (token->type != YAML_SCALAR_TOKEN || !is_quoted(token->data.scalar.style)) continue;
        failure.has_quote = true;
        failure.quote_start = place(token->start_mark);
        failure.quote_end = place(token->end_mark);
    }
    return failure;
}

void cyaml_close(cyaml_reader *reader) {
    if (reader == NULL) return;
    yaml_event_delete(&reader->event);
    yaml_parser_delete(&reader->parser);
    free(reader->text);
    free(reader);
}
