/* Writes one JSON object, member by member.
 *
 *   json_writer w;
 *   json_begin(&w, arena);
 *   json_string(&w, "model", name);
 *   json_number(&w, "runs", 20);
 *   puts(json_end(&w));                       // {"model": "x", "runs": 20} */
#ifndef TLBC_CLI_JSON_H
#define TLBC_CLI_JSON_H

#include "ir/base/str.h"

typedef struct json_writer {
    tl_str text;
    bool more; /* a comma is due */
} json_writer;

void json_begin(json_writer *w, tl_arena *a);
void json_string(json_writer *w, const char *name, const char *value);
void json_number(json_writer *w, const char *name, double value); /* not finite: null */
void json_bool(json_writer *w, const char *name, bool value);
/* A nested object or array: open(w, "slots", '['), open(w, NULL, '{'), ..., close(w, '}'), close(w, ']'). */
void json_open(json_writer *w, const char *name, char bracket);
void json_close(json_writer *w, char bracket);
const char *json_end(json_writer *w);

#endif
