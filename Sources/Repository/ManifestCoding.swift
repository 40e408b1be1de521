import Digests
import Platform

extension Manifest {
  /// The most bytes that a manifest may have after it is expanded: some ten million chunks.
  static let largestExpanded = 1 << 30
  /// The most bytes of a manifest object.
  static let largestObject = 512 << 20
  /// No chunk is longer, whatever a repository's chunk size is.
  static let longestChunk = 64 << 20
  /// No pack is larger: the writer ends one at 10,000 parts of 16 MiB. Sums over all packs of a manifest cannot overflow.
  static let largestPack = 1 << 38

  /// The manifest as its object's bytes: gzip over JSON, with the time of `stamp` in gzip's header where one is given. Throws
  /// `.tooLarge` and `.invalid` where `decode` would not take it.
  public func encode(stamp: Timestamp? = nil) throws(FormatError) -> [UInt8] {
    try checkPaths(object: "the manifest of \(run)@\(step)")
    func octal(_ mode: UInt32) -> String {
      let digits = String(mode, radix: 8)
      return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }
    let document = ManifestDocument(
      format: repositoryFormat, id: id, run: run, step: step, time: time, kind: kind,
      root: root.map { .init(mode: octal($0.permissions), mtime: $0.modified.nanoseconds) },
      packs: packs.map { .init(key: $0.key, size: $0.size, etag: $0.etag, class: $0.fileClass) },
      files: files.map { file in
        let path = TextOrBase64.encode(file.path.bytes)
        return .init(
          path: path.text, pathBase64: path.base64, size: file.size, mode: octal(file.attributes.permissions),
          mtime: file.attributes.modified.nanoseconds, sha256: hex(file.sha256), md5: hex(file.md5),
          class: file.fileClass,
          holes: file.holes.isEmpty ? nil : file.holes.map { [$0.lowerBound, $0.count] },
          chunks: .init(
            id: file.chunks.map(\.id.hex), pack: file.chunks.map(\.pack), offset: file.chunks.map(\.offset),
            length: file.chunks.map(\.length)))
      },
      links: links.map { link in
        let path = TextOrBase64.encode(link.path.bytes)
        let target = TextOrBase64.encode(link.target)
        return .init(
          path: path.text, pathBase64: path.base64, target: target.text, targetBase64: target.base64,
          mtime: link.modified.nanoseconds)
      },
      directories: directories.map { directory in
        let path = TextOrBase64.encode(directory.path.bytes)
        return .init(
          path: path.text, pathBase64: path.base64, mode: octal(directory.attributes.permissions),
          mtime: directory.attributes.modified.nanoseconds)
      })
    let json = try MetadataCoding.encode(document, pretty: false)
    let modified = UInt32(truncatingIfNeeded: stamp?.seconds ?? 0)
    // Most of it is digests, of which level 6 saves 3 % more in four times the time.
    let object =
      json.count <= Self.largestExpanded ? try Gzip.compress(json, level: 1, modified: modified) : []
    guard !object.isEmpty, object.count <= Self.largestObject,
      json.count <= Gzip.largestExpanded(from: object.count), !MetadataCoding.isMostlyTiny(json)
    else {
      throw .tooLarge(
        object: "the manifest of \(run)@\(step)",
        detail: "there are too many files and chunks for one snapshot. Push parts of it as runs of their own."
      )
    }
    return object
  }

  /// Reads a manifest's object and checks everything in it that a restore relies on.
  ///
  /// - Parameter object: its key, for errors.
  /// - Throws: `FormatError` for anything impossible: a path that leaves the root or passes through a file or link, chunks
  ///   that do not add up to their file or lie outside their pack, an id that is not its content's.
  public static func decode(_ bytes: [UInt8], object: String) throws(FormatError) -> Manifest {
    let json = try Gzip.expand(bytes, limit: largestExpanded, object: object)
    let document = try MetadataCoding.decode(ManifestDocument.self, from: json, object: object)
    try MetadataCoding.check(format: document.format, object: object)
    let manifest = try Reader(object: object, packs: document.packs).manifest(of: document)
    try manifest.checkPaths(object: object)
    guard hex(SHA256.hash(manifest.sha256Sums).prefix(8)) == manifest.id else {
      throw .invalid(object: object, detail: "its id is not that of its files")
    }
    return manifest
  }

  /// No two entries share a path, and none lies below a file or a link.
  private func checkPaths(object: String) throws(FormatError) {
    let ends = files.map(\.path) + links.map(\.path)
    var leaves = Set<RelativePath>()
    for path in ends where !leaves.insert(path).inserted {
      throw .invalid(object: object, detail: "\(path.display) stands in it twice")
    }
    for path in ends + directories.map(\.path) {
      var parent = path.parent
      while let ancestor = parent {
        if leaves.contains(ancestor) {
          throw .invalid(
            object: object, detail: "\(path.display) lies below \(ancestor.display), which is no directory")
        }
        parent = ancestor.parent
      }
    }
    for directory in directories where !leaves.insert(directory.path).inserted {
      throw .invalid(object: object, detail: "\(directory.path.display) stands in it twice")
    }
    if kind == .file,
      files.count != 1 || !links.isEmpty || !directories.isEmpty || files[0].path.parent != nil
    {
      throw .invalid(object: object, detail: "a single file was pushed, and it lists something else")
    }
  }
}

/// Turns the document into checked values.
private struct Reader {
  let object: String
  let packs: [ManifestDocument.Pack]

  func manifest(of document: ManifestDocument) throws(FormatError) -> Manifest {
    guard ObjectKey.isSnapshotID(document.id), ObjectKey.isValid(run: document.run), document.step >= 0 else {
      throw invalid("its id, run or step is impossible")
    }
    var references: [Manifest.PackReference] = []
    for pack in packs {
      guard pack.key.hasPrefix(ObjectKey.packs), (try? RelativePath(pack.key)) != nil,
        (1...Manifest.largestPack).contains(pack.size)
      else {
        throw invalid("pack \(pack.key) has an impossible name or size")
      }
      references.append(.init(key: pack.key, size: pack.size, etag: pack.etag, fileClass: pack.class))
    }
    var files: [Manifest.FileEntry] = []
    for file in document.files { files.append(try self.file(file)) }
    var links: [Manifest.LinkEntry] = []
    for link in document.links {
      guard let target = TextOrBase64.decode(link.target, link.targetBase64), !target.isEmpty,
        !target.contains(0)
      else { throw invalid("a link has no target") }
      links.append(
        .init(
          path: try path(link.path, link.pathBase64), target: target,
          modified: Timestamp(nanoseconds: link.mtime)))
    }
    var directories: [Manifest.DirectoryEntry] = []
    for entry in document.directories {
      directories.append(
        .init(
          path: try path(entry.path, entry.pathBase64), attributes: try attributes(entry.mode, entry.mtime)))
    }
    var root: Manifest.Attributes?
    if let entry = document.root { root = try attributes(entry.mode, entry.mtime) }
    return Manifest(
      id: document.id, run: document.run, step: document.step, time: document.time, kind: document.kind,
      root: root,
      packs: references, files: files, links: links, directories: directories)
  }

  private func file(_ file: ManifestDocument.File) throws(FormatError) -> Manifest.FileEntry {
    let path = try path(file.path, file.pathBase64)
    guard let sha256 = bytes(hex: file.sha256), sha256.count == 32, let md5 = bytes(hex: file.md5),
      md5.count == 16,
      file.size >= 0
    else { throw invalid("\(path.display) has an impossible size or digest") }
    return Manifest.FileEntry(
      path: path, size: file.size, attributes: try attributes(file.mode, file.mtime), sha256: sha256,
      md5: md5,
      fileClass: file.class, holes: try holes(file, path), chunks: try chunks(file, path))
  }

  private func chunks(
    _ file: ManifestDocument.File, _ path: RelativePath
  ) throws(FormatError) -> [Manifest.ChunkReference] {
    let columns = file.chunks
    if columns.encoding != nil { throw .newerFormat(object: object, format: repositoryFormat + 1) }
    let count = columns.id.count
    guard columns.pack.count == count, columns.offset.count == count, columns.length.count == count else {
      throw invalid("the columns of \(path.display)'s chunks differ in length")
    }
    var chunks: [Manifest.ChunkReference] = []
    chunks.reserveCapacity(count)
    var covered = 0
    for index in 0..<count {
      let (pack, offset, length) = (columns.pack[index], columns.offset[index], columns.length[index])
      guard let id = ChunkID(hex: columns.id[index]), packs.indices.contains(pack),
        (1...Manifest.longestChunk).contains(length), offset >= 0, offset <= packs[pack].size - length,
        length <= file.size - covered
      else { throw invalid("chunk \(index) of \(path.display) lies where nothing can be") }
      covered += length
      chunks.append(.init(id: id, pack: pack, offset: offset, length: length))
    }
    guard covered == file.size else { throw invalid("the chunks of \(path.display) do not add up to it") }
    return chunks
  }

  private func holes(_ file: ManifestDocument.File, _ path: RelativePath) throws(FormatError) -> [Range<Int>]
  {
    var holes: [Range<Int>] = []
    var end = 0
    for hole in file.holes ?? [] {
      guard hole.count == 2, hole[0] >= end, hole[1] > 0, hole[1] <= file.size, hole[0] <= file.size - hole[1]
      else {
        throw invalid("the holes of \(path.display) are impossible")
      }
      end = hole[0] + hole[1]
      holes.append(hole[0]..<end)
    }
    return holes
  }

  private func path(_ text: String?, _ base64: String?) throws(FormatError) -> RelativePath {
    guard let bytes = TextOrBase64.decode(text, base64) else { throw invalid("an entry has no path") }
    guard let path = try? RelativePath(bytes) else {
      throw invalid(
        "the path \(String(decoding: bytes.prefix(200), as: UTF8.self).debugDescription) is not allowed")
    }
    return path
  }

  private func attributes(_ mode: String, _ mtime: Int64) throws(FormatError) -> Manifest.Attributes {
    guard let bits = UInt32(mode, radix: 8), bits <= 0o7777 else {
      throw invalid("mode \(mode) does not exist")
    }
    return .init(permissions: bits, modified: Timestamp(nanoseconds: mtime))
  }

  private func invalid(_ detail: String) -> FormatError { .invalid(object: object, detail: detail) }
}
