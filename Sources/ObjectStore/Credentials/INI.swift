/// A file of `[sections]` with `name = value` lines. Names are compared in lower case; sections of one name are one; of two values
/// for one name the later counts.
struct INI {
  private(set) var sections: [String: [String: String]] = [:]

  init(_ text: String) {
    var section: String?
    for line in text.split(whereSeparator: \.isNewline) {
      // An indented line goes on with the one above it; no value of credentials has such lines.
      guard let first = line.first, !"#; \t".contains(first) else { continue }
      if first == "\u{FEFF}" || first == "[" {
        guard let open = line.firstIndex(of: "["), let close = line.firstIndex(of: "]"), open < close else {
          section = nil
          continue
        }
        section = trim(line[line.index(after: open)..<close])
        if let section, sections[section] == nil { sections[section] = [:] }
      } else if let section, let equals = line.firstIndex(of: "=") {
        let value = trim(withoutComment(line[line.index(after: equals)...]))
        sections[section, default: [:]][trim(line[..<equals]).lowercased()] = value
      }
    }
  }

  /// A comment begins at a `#` or `;` after a blank.
  private func withoutComment(_ text: Substring) -> Substring {
    var wasBlank = true
    for index in text.indices {
      if wasBlank, text[index] == "#" || text[index] == ";" { return text[..<index] }
      wasBlank = text[index] == " " || text[index] == "\t"
    }
    return text
  }
}

/// A text without blanks at its ends.
func trim(_ text: some StringProtocol) -> String {
  var text = Substring(text)
  while let first = text.first, first.isWhitespace { text = text.dropFirst() }
  while let last = text.last, last.isWhitespace { text = text.dropLast() }
  return String(text)
}
