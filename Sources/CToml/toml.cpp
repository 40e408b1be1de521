#include "toml.h"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Some broken texts (`[[[`) meet an assertion of toml++ 3.3 instead of an error. They must not end the program, nor become an
// assumption of the optimiser, as in a build with NDEBUG.
#undef NDEBUG
#define TOML_EXCEPTIONS 1
#define TOML_ASSERT(expression) \
  do { \
    if (!(expression)) throw std::logic_error("the text is no TOML"); \
  } while (false)

// The packaged header uses a literal-operator form that newer compilers deprecate.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-literal-operator"
#include <toml++/toml.h>
#pragma GCC diagnostic pop

namespace {

struct leaf {
  std::string key;
  std::string value;
  char kind;
  unsigned line;
  size_t order;
};

void flatten(const toml::node &node, const std::string &key, std::vector<leaf> &leaves) {
  if (auto table = node.as_table()) {
    for (auto &&[name, child] : *table) {
      flatten(child, key.empty() ? std::string(name.str()) : key + "." + std::string(name.str()), leaves);
    }
    return;
  }
  if (auto array = node.as_array()) {
    for (auto &&child : *array) flatten(child, key, leaves);
    return;
  }
  leaf found{key, "", 'o', static_cast<unsigned>(node.source().begin.line), leaves.size()};
  if (auto text = node.as_string()) {
    found.kind = 's';
    found.value = text->get();
  } else if (auto number = node.as_integer()) {
    found.kind = 'i';
    found.value = std::to_string(number->get());
  } else if (auto flag = node.as_boolean()) {
    found.kind = 'b';
    found.value = flag->get() ? "true" : "false";
  }
  leaves.push_back(found);
}

}  // namespace

struct ck_toml {
  std::vector<leaf> leaves;
};

extern "C" ck_toml *ck_toml_parse(const char *text, size_t length, char *message, size_t capacity, unsigned *line) {
  try {
    auto table = toml::parse(std::string_view(text, length));
    auto document = std::make_unique<ck_toml>();
    flatten(table, "", document->leaves);
    std::sort(document->leaves.begin(), document->leaves.end(), [](const leaf &a, const leaf &b) {
      return std::pair(a.line, a.order) < std::pair(b.line, b.order);
    });
    return document.release();
  } catch (const toml::parse_error &error) {
    auto description = error.description();
    std::snprintf(message, capacity, "%.*s", static_cast<int>(description.size()), description.data());
    *line = static_cast<unsigned>(error.source().begin.line);
  } catch (const std::exception &error) {
    std::snprintf(message, capacity, "%s", error.what());
    *line = 1;
  }
  return nullptr;
}

extern "C" void ck_toml_free(ck_toml *document) { delete document; }
extern "C" size_t ck_toml_count(const ck_toml *document) { return document->leaves.size(); }
extern "C" const char *ck_toml_key(const ck_toml *document, size_t index) { return document->leaves[index].key.c_str(); }
extern "C" const char *ck_toml_value(const ck_toml *document, size_t index) {
  return document->leaves[index].value.c_str();
}
extern "C" char ck_toml_kind(const ck_toml *document, size_t index) { return document->leaves[index].kind; }
extern "C" unsigned ck_toml_line(const ck_toml *document, size_t index) { return document->leaves[index].line; }
