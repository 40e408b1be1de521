#pragma once
#include <curl/curl.h>

// curl_easy_setopt, curl_easy_getinfo and curl_multi_setopt are variadic and the message's result sits in a union: Swift's
// importer leaves them out. One wrapper for each type of operand.

typedef size_t (*ck_curl_io)(char *bytes, size_t size, size_t count, void *user);
typedef int (*ck_curl_seek)(void *user, curl_off_t offset, int origin);

static inline CURLcode ck_curl_set_long(CURL *easy, CURLoption option, long value) {
  return curl_easy_setopt(easy, option, value);
}
static inline CURLcode ck_curl_set_offset(CURL *easy, CURLoption option, curl_off_t value) {
  return curl_easy_setopt(easy, option, value);
}
static inline CURLcode ck_curl_set_string(CURL *easy, CURLoption option, const char *value) {
  return curl_easy_setopt(easy, option, value);
}
static inline CURLcode ck_curl_set_pointer(CURL *easy, CURLoption option, void *value) {
  return curl_easy_setopt(easy, option, value);
}
static inline CURLcode ck_curl_set_list(CURL *easy, CURLoption option, struct curl_slist *value) {
  return curl_easy_setopt(easy, option, value);
}
static inline CURLcode ck_curl_set_io(CURL *easy, CURLoption option, ck_curl_io value) {
  return curl_easy_setopt(easy, option, value);
}
static inline CURLcode ck_curl_set_seek(CURL *easy, ck_curl_seek value) {
  return curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, value);
}
static inline CURLcode ck_curl_get_long(CURL *easy, CURLINFO info, long *value) {
  return curl_easy_getinfo(easy, info, value);
}
static inline CURLcode ck_curl_get_time(CURL *easy, CURLINFO info, curl_off_t *value) {
  return curl_easy_getinfo(easy, info, value);
}
static inline struct curl_certinfo *ck_curl_certificates(CURL *easy) {
  struct curl_certinfo *list = NULL;
  return curl_easy_getinfo(easy, CURLINFO_CERTINFO, &list) == CURLE_OK ? list : NULL;
}
static inline CURLMcode ck_curl_multi_set_long(CURLM *multi, CURLMoption option, long value) {
  return curl_multi_setopt(multi, option, value);
}
static inline CURLcode ck_curl_result(const CURLMsg *message) { return message->data.result; }
static inline CURLcode ck_curl_start(void) { return curl_global_init(CURL_GLOBAL_ALL); }
