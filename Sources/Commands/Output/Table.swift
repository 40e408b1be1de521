/// A table for people: columns that fit, numbers to the right.
struct Table {
  /// How a column is set.
  enum Alignment {
    case left
    case right
  }

  private let headers: [String]
  private let alignments: [Alignment]
  private var rows: [[String]] = []

  /// A table with these columns.
  init(_ columns: [(header: String, alignment: Alignment)]) {
    headers = columns.map(\.header)
    alignments = columns.map(\.alignment)
  }

  /// Adds a row with a cell a column.
  mutating func add(_ cells: [String]) { rows.append(cells) }

  /// The lines; the widest column on the left side gives way where `width` columns are not enough (0 for no bound).
  func lines(width: Int) -> [String] {
    var widths = headers.indices.map { column in
      rows.map { Self.columns($0[column]) }.reduce(Self.columns(headers[column]), max)
    }
    let gaps = 2 * (headers.count - 1)
    while width > 0, widths.reduce(gaps, +) > width,
      let widest = widths.indices.filter({ alignments[$0] == .left }).max(by: { widths[$0] < widths[$1] }),
      widths[widest] > 8
    {
      widths[widest] -= 1
    }
    return ([headers] + rows).map { cells in
      let line = cells.indices.map { pad(cells[$0], to: widths[$0], alignments[$0]) }.joined(separator: "  ")
      return String(line.reversed().drop { $0 == " " }.reversed())
    }
  }

  private func pad(_ cell: String, to width: Int, _ alignment: Alignment) -> String {
    var text = cell
    if Self.columns(text) > width {
      while Self.columns(text) > width - 1 { text.removeLast() }
      text += "…"
    }
    let space = String(repeating: " ", count: max(0, width - Self.columns(text)))
    return alignment == .left ? text + space : space + text
  }

  /// How many terminal columns a text takes: two for East Asian wide characters and emoji (Unicode, UAX 11), none for marks.
  static func columns(_ text: String) -> Int {
    text.reduce(0) { sum, character in
      guard let scalar = character.unicodeScalars.first else { return sum }
      switch scalar.value {
      case 0x1100...0x115f, 0x2e80...0xa4cf, 0xac00...0xd7a3, 0xf900...0xfaff, 0xfe30...0xfe6f,
        0xff00...0xff60,
        0xffe0...0xffe6, 0x1f300...0x1faff, 0x20000...0x3fffd:
        return sum + 2
      default: return sum + 1
      }
    }
  }
}

/// A text in lines of at most `width` columns, broken at spaces where it has any; in one line where that is less than 20.
func wrapped(_ text: String, width: Int) -> [String] {
  guard width >= 20 else { return [text] }
  var lines: [String] = []
  var line = ""
  for word in text.split(separator: " ", omittingEmptySubsequences: false) {
    if !line.isEmpty, Table.columns(line) + 1 + Table.columns(String(word)) > width {
      lines.append(line)
      line = String(word)
    } else {
      line += (line.isEmpty ? "" : " ") + word
    }
  }
  return lines + [line]
}
