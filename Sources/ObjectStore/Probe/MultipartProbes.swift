import Digests
import Platform

/// Objects that are sent in parts.
let multipartProbes: [Probe] = [
  Probe("multipart", .needed) { it in
    for (name, size) in [
      ("one", 1), ("full", it.partSize), ("border", 2 * it.partSize), ("tail", 2 * it.partSize + 1),
    ] {
      let bytes = probeBytes(size, seed: UInt64(size))
      try await it.upload(name) { upload in
        try ensure(
          try await it.store.head(it.key(name)) == nil, "an upload that is not finished is an object")
        var parts: [PartReceipt] = []
        for offset in stride(from: 0, to: size, by: it.partSize) {
          parts.append(try await it.send(bytes, upload, offset))
        }
        try ensure(parts.allSatisfy { $0.size != nil }, "a part came back without its size")
        let etag = try await it.store.complete(upload, parts)
        let info = try await it.store.head(it.key(name))
        try ensure(info?.size == size, "an object of \(parts.count) parts has another size than these")
        if let etag, let seen = info?.etag, etag.hasSuffix("-\(parts.count)"), seen.contains("-") {
          try ensure(etag == seen, "a finished upload has another ETag than was told")
        }
      }
      try ensure(
        try await it.read(name, 0..<size) == bytes, "an object of several parts came back with other bytes")
    }
    return .holds("one part, whole parts and a short last part are joined as they should be")
  },
  Probe("parts-any-order", .needed) { it in
    let bytes = probeBytes(2 * it.partSize + 77, seed: 9)
    try await it.upload("object") { upload in
      let third = try await it.send(bytes, upload, 2 * it.partSize)
      let first = try await it.send(bytes, upload, 0)
      _ = try await it.send(bytes, upload, it.partSize)
      let second = try await it.send(bytes, upload, it.partSize)
      try await it.store.complete(upload, [second, third, first])
    }
    try ensure(
      try await it.store.get(it.key("object"), limit: bytes.count) == bytes,
      "parts that were sent in another order, one of them twice, were joined to other bytes")
    return .holds("parts may be sent in any order, and again")
  },
  Probe("part-replaced", .needed) { it in
    let bytes = probeBytes(1000, seed: 11)
    return try await it.upload("object") { upload in
      _ = try await it.send(probeBytes(1000, seed: 12), upload, 0)
      do {
        let part = try await it.send(bytes, upload, 0)
        try await it.store.complete(upload, [part])
      } catch StoreError.unsupported {
        try await it.store.abort(upload)
        return .holds("a part cannot be replaced by another, and the server says so")
      }
      try ensure(
        try await it.store.get(it.key("object"), limit: bytes.count) == bytes,
        "a part that was sent again with other bytes kept the first ones")
      return .holds("a part that is sent again replaces the first")
    }
  },
  Probe("abort", .needed) { it in
    let bytes = probeBytes(1000, seed: 10)
    return try await it.upload("kept") { kept in
      try await it.upload("object") { upload in
        let part = try await it.send(bytes, upload, 0)
        let pending = try? await it.store.listUploads(it.key(""))
        try ensure(
          pending.map { $0.isEmpty || Set($0.map(\.upload)) == [kept, upload] } ?? true,
          "the list of unfinished uploads has others than those that are")
        try await it.store.abort(upload)
        try await it.store.abort(upload)
        let rest = try? await it.store.listUploads(it.key(""))
        try ensure(
          rest.map { $0.isEmpty || $0.map(\.upload) == [kept] } ?? true,
          "an upload that was ended is still listed")
        let others = try? await it.store.listUploads(it.key("other"))
        try ensure(others?.isEmpty ?? true, "the list of unfinished uploads does not follow its prefix")
        let error = try await it.refusal("the completion of an upload that was ended") {
          try await it.store.complete(upload, [part])
        }
        try ensure(
          error == .noUpload(key: it.key("object")),
          "to the completion of an upload that was ended the store says \(error)")
      }
      try await it.store.abort(kept)
      try ensure(try await it.names().isEmpty, "uploads that were ended have left objects")
      return .holds("an upload that is given up is gone, and that may be asked for again")
    }
  },
  Probe("small-parts", .informative) { it in
    let size = max(1, it.partSize / 50)
    let bytes = probeBytes(size + 1, seed: 13)
    return try await it.upload("object") { upload in
      var parts: [PartReceipt] = []
      for (number, range) in [(1, 0..<size), (2, size..<size + 1)] {
        let part = Array(bytes[range])
        parts.append(
          try await it.store.uploadPart(
            upload, number: number, offset: range.lowerBound, Payload(part), md5: MD5.hash(part)))
      }
      do {
        try await it.store.complete(upload, parts)
      } catch StoreError.refused(_, _, let status, let code, _) {
        try await it.store.abort(upload)
        return .doesNotHold("parts of less than 5 MiB are refused (\(status) \(code)); ckbackup sends 16 MiB")
      }
      return .holds("parts of less than 5 MiB are taken; ckbackup sends 16 MiB")
    }
  },
  Probe("etag-multipart", .useful) { it in
    let bytes = probeBytes(it.partSize + 10, seed: 14)
    let told = try await it.upload("object") { upload in
      let parts = [try await it.send(bytes, upload, 0), try await it.send(bytes, upload, it.partSize)]
      return try await it.store.complete(upload, parts)
    }
    let expected = multipartETag(partMD5s: [
      MD5.hash(bytes[..<it.partSize]), MD5.hash(bytes[it.partSize...]),
    ])
    guard let listed = try await it.store.list(it.key("object")).objects.first?.etag else {
      return .unknown("the store has no ETags")
    }
    guard listed == expected else {
      return .doesNotHold(
        "the ETag of an object in parts is \(listed), not the MD5 of its parts' MD5s: a quick verify compares sizes and whether the ETag changed"
      )
    }
    return .holds(
      told == expected
        ? "the ETag of an object in parts is the MD5 of its parts' MD5s"
        : "the listed ETag of an object in parts is the MD5 of its parts' MD5s; the completion tells another")
  },
]
