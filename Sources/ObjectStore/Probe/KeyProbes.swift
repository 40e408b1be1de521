import Platform

/// The names that objects may have.
let keyProbes: [Probe] = [
  Probe("keys-percent", .needed) { it in
    try await survive(["100%", "%41", "%2F", "a%20b", "under_score", "dash-", ".dot", "..dots.."], it)
    return .holds("keys with % are kept as they are, as run names need")
  },
  Probe("keys-awkward", .useful) { it in
    try await survive(
      [
        "with space", "plus+plus", "hash#tag", "what?", "~tilde", "a&b=c", "quote'\"", "<tag>",
        "semi;colon,comma", "at@colon:", "star*", "(paren)", "$dollar!", " leading", "trailing ",
        "a/.hidden", "=", "|pipe|", "[x]{y}^`",
      ], it)
    return .holds("blanks, + # ? & quotes and brackets are kept as they are")
  },
  Probe("keys-unicode", .useful) { it in
    try await survive(["ünïcödé", "日本語", "🙂", "👩‍🚀/🚀"], it)
    return .holds("letters of all scripts and emoji are kept as they are")
  },
  Probe("keys-similar", .needed) { it in
    let names = ["Case", "case"]
    for name in names { try await it.store.put(it.key(name), Payload(Array(name.utf8))) }
    try ensure(try await it.names().count == 2, "keys that differ in case alone are one")
    for name in names {
      try ensure(
        try await it.store.get(it.key(name), limit: 100) == Array(name.utf8),
        "keys that differ in case alone are one")
    }
    return .holds("keys that differ in case alone are two")
  },
  Probe("keys-normalised", .useful) { it in
    let names = ["e\u{301}", "\u{e9}"]
    for name in names { try await it.store.put(it.key(name), Payload(Array(name.utf8))) }
    try ensure(try await it.names().count == 2, "composed and decomposed letters are taken for the same")
    for name in names {
      try ensure(
        try await it.store.get(it.key(name), limit: 100) == Array(name.utf8),
        "composed and decomposed letters are taken for the same")
    }
    return .holds("composed and decomposed letters (NFC, NFD) are told apart")
  },
  Probe("keys-component-255", .needed) { it in
    try await survive([String(repeating: "c", count: 255)], it)
    return .holds("a component of a key may have 255 bytes")
  },
  Probe("keys-1024", .useful) { it in
    let above = it.s3.map { $0.session.settings.full(it.key("")).utf8.count } ?? it.key("").utf8.count
    guard above < 1000 else { return .unknown("the repository's prefix leaves no room for such a key") }
    var name = ""
    while above + name.utf8.count < 1024 {
      let rest = 1024 - above - name.utf8.count
      name += name.isEmpty ? "" : "/"
      name += String(repeating: "k", count: min(200, max(1, rest - (name.isEmpty ? 0 : 1))))
    }
    try await survive([name], it)
    return .holds("a key may have 1,024 bytes")
  },
  Probe("keys-refused", .needed) { it in
    let long = String(repeating: "x", count: 256)
    for bad in ["", "/a", "a/", "a//b", "..", "a/../b", "./a", "a/.", "a\nb", "a\0b", "a\\b", long] {
      let what = "the key \(quoted(bad))"
      let error = try await it.refusal(what) { try await it.store.put(bad, Payload([1])) }
      guard case .refused(_, _, _, "InvalidKey", _) = error else {
        throw ProbeViolation(sentence: "\(what) was not refused as a bad key: \(error)")
      }
      _ = try await it.refusal(what) { _ = try await it.store.get(bad, limit: 10) }
      _ = try await it.refusal(what) { _ = try await it.store.head(bad) }
      _ = try await it.refusal(what) { try await it.store.delete([bad]) }
      _ = try await it.refusal(what) { _ = try await it.store.beginMultipart(bad) }
    }
    return .holds("keys that servers take in different ways are never sent")
  },
]

/// Stores an object under each name, looks for it in each way there is, and removes it.
private func survive(_ names: [String], _ it: ProbeSubject) async throws {
  try await withThrowingTaskGroup(of: Void.self) { group in
    for name in names {
      group.addTask { try await it.store.put(it.key(name), Payload(Array(name.utf8))) }
    }
    try await group.waitForAll()
  }
  let all = names.sorted { $0.precedesBytewise($1) }
  let listed = try await it.names()
  if let lost = all.first(where: { name in !listed.contains { $0.utf8.elementsEqual(name.utf8) } }) {
    throw ProbeViolation(sentence: "a listing lacks the key \(quoted(lost)), or has it as another")
  }
  try ensure(
    listed.count == all.count && zip(listed, all).allSatisfy { $0.utf8.elementsEqual($1.utf8) },
    "a listing has other keys than those that were stored")
  try await withThrowingTaskGroup(of: Void.self) { group in
    for name in names {
      group.addTask {
        let bytes = try await it.store.get(it.key(name), limit: 2048)
        try ensure(bytes == Array(name.utf8), "the key \(quoted(name)) gives another object")
        let size = try await it.store.head(it.key(name))?.size
        try ensure(size == name.utf8.count, "HEAD of the key \(quoted(name)) tells of another object")
        let found = try await it.names(name)
        try ensure(
          found.count == 1 && found[0].utf8.elementsEqual(name.utf8),
          "a listing by the prefix \(quoted(name)) has other keys")
      }
    }
    try await group.waitForAll()
  }
  try await it.store.delete(names.map(it.key))
  try ensure(try await it.names().isEmpty, "keys that were deleted are still listed")
}
