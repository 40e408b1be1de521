import Platform
import Testing

@Suite("Relative paths") struct RelativePathTests {
  @Test(
    "what could leave the root, or is no path, is refused",
    arguments: [
      ("", RelativePath.Invalid.empty), ("/a", .absolute), ("a//b", .empty), ("a/", .empty), (".", .dots),
      ("a/../b", .dots), ("a/./b", .dots), ("..", .dots), ("a\0b", .nul),
      (String(repeating: "x", count: 4096), .tooLong(4096)),
    ])
  func refuses(text: String, reason: RelativePath.Invalid) {
    #expect(throws: reason) { try RelativePath(text) }
  }

  @Test("paths that are texts are cut at every slash, also where a letter behind it is written over it")
  func texts() {
    let accent = "\u{301}x.pt"
    for (path, parent, name) in [
      ("a/b", "a", "b"), ("/a", "/", "a"), ("a", ".", "a"), ("a/", "a", ""), ("/", "/", ""),
      ("a/\(accent)", "a", accent), ("/\(accent)", "/", accent),
    ] {
      #expect(PathText.split(path) == (parent, name))
    }
    #expect(PathText.components("//a/\(accent)/\u{fe0f}/") == ["a", accent, "\u{fe0f}"])
    #expect(PathText.isAbsolute("/\(accent)") && !PathText.isAbsolute(accent))
  }

  @Test("dots inside names and bytes that are not UTF-8 are kept as they are")
  func keeps() throws {
    #expect(try RelativePath("a/..b/...").components.count == 3)
    let raw: [UInt8] = [0x61, 0xff, 0x2f, 0x62]
    let path = try RelativePath(raw)
    #expect(path.bytes == raw)
    #expect(path.text == nil)
    #expect(path.name == "b")
    #expect(path.parent == (try RelativePath([0x61, 0xff])))
  }

  @Test("people see control characters and foreign bytes as escapes, and other letters as they are")
  func display() throws {
    #expect(try RelativePath("模型/é.bin").display == "模型/é.bin")
    #expect(try RelativePath("a\n\u{1b}[31m\\").display == "a\\x0a\\x1b[31m\\x5c")
    #expect(try RelativePath([0x61, 0xff, 0x80]).display == "a\\xff\\x80")
    #expect(try RelativePath("a\u{202e}b").display == "a\\xe2\\x80\\xaeb")
  }

  @Test("the order is that of the bytes")
  func order() throws {
    let names = ["a", "a-b", "a/b", "aa", "b", "\u{e9}"]
    let paths = try names.map { try RelativePath($0) }
    #expect(paths.shuffled().sorted() == paths)
  }
}
