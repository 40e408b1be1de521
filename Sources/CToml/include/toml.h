#pragma once
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// A TOML document as the flat list of its leaves, read by toml++.

typedef struct ck_toml ck_toml;

/// Reads a document; NULL on failure, with what is wrong in `message` and where in `line` (from 1).
ck_toml *ck_toml_parse(const char *text, size_t length, char *message, size_t capacity, unsigned *line);
void ck_toml_free(ck_toml *document);

/// The number of leaves: values that are neither tables nor arrays, in the order of the text. An array's elements are leaves
/// with the array's key.
size_t ck_toml_count(const ck_toml *document);
/// A leaf's key, with dots between the tables' names. Both texts live as long as the document.
const char *ck_toml_key(const ck_toml *document, size_t index);
/// A leaf's value as text: a string's characters, an integer's digits, `true` or `false`.
const char *ck_toml_value(const ck_toml *document, size_t index);
/// 's' string, 'i' integer, 'b' boolean, 'o' anything else.
char ck_toml_kind(const ck_toml *document, size_t index);
/// The line it stands in, from 1.
unsigned ck_toml_line(const ck_toml *document, size_t index);

#ifdef __cplusplus
}
#endif
