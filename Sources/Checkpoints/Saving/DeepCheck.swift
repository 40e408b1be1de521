import CZlib
import Platform

/// Reads every byte of a checkpoint: can it be read, do the sums of torch files hold, which numbers are NaN, which tails are zeros?
public struct DeepCheck: Sendable {
  /// What was found.
  public struct Report: Sendable {
    /// Wrong sums, and files that cannot be read.
    public internal(set) var defects: [Defect] = []
    /// What stands out although it proves nothing.
    public internal(set) var notices: [Notice] = []
    /// How many bytes were read.
    public internal(set) var bytes = 0
    /// Of how many entries of torch files the CRC-32 was checked.
    public internal(set) var sums = 0
    /// In how many tensors the numbers were looked at.
    public internal(set) var tensors = 0
  }

  private let inspection: Inspection
  private let progress: @Sendable (Int) -> Void
  private let isCancelled: @Sendable () -> Bool

  /// A check of what was inspected.
  ///
  /// - Parameters:
  ///   - progress: is told of bytes that were read.
  ///   - isCancelled: is asked between blocks; the check ends with a `CancellationError` where it says so.
  public init(
    _ inspection: Inspection, progress: @escaping @Sendable (Int) -> Void = { _ in },
    isCancelled: @escaping @Sendable () -> Bool = { false }
  ) {
    self.inspection = inspection
    self.progress = progress
    self.isCancelled = isCancelled
  }

  /// Reads all files, one after the other, with 8 MiB of memory besides directories and pickles. Blocks its thread.
  ///
  /// - Throws: `CancellationError`.
  public func run() throws -> Report {
    var scan = Scan(check: self)
    for entry in inspection.tree.files { try scan.read(entry.path) }
    return scan.end()
  }

  /// One run over the files.
  fileprivate struct Scan {
    let check: DeepCheck
    var report = Report()
    private var total = NumberCounts()
    private var withNaN: [String] = []
    private var weights = (matrices: 0, isZero: true)
    private var block = [UInt64](repeating: 0, count: 1 << 20)

    init(check: DeepCheck) { self.check = check }

    mutating func read(_ path: RelativePath) throws {
      do {
        let file = try check.inspection.tree.root.open(path)
        file.willReadInOrder()
        try read(file, path)
      } catch let error as SystemError {
        report.defects.append(Defect(path, error.isMissing ? .vanished : .unreadable(error.reason)))
      }
    }

    private mutating func read(_ file: OpenFile, _ path: RelativePath) throws {
      let map = FileMap(file, name: path.name)
      if let defect = map.defect { report.defects.append(Defect(path, defect)) }
      let isWeights = check.inspection.classifier.fileClass(of: path) == .weights
      // The longest run of zeros that ends with a tensor, and the one that ends here.
      var tail = (bytes: 0, tensor: "")
      var run = 0
      for piece in map.pieces {
        let found = try read(piece, of: file)
        if found.bytes < piece.range.count { break }
        if let expected = piece.sum {
          report.sums += 1
          if found.sum != expected { report.defects.append(Defect(path, .torch(.sum(entry: piece.name)))) }
        }
        guard piece.isTensor else {
          run = 0
          continue
        }
        let isZero = found.zeroTail == piece.range.count
        run = isZero ? run + found.zeroTail : found.zeroTail
        // A tensor of zeros among others is nothing special; one that ends in them, or the last ones, may be.
        if !isZero || piece.range.upperBound == file.size, run > tail.bytes { tail = (run, piece.name) }
        guard found.counts.numbers > 0 else { continue }
        report.tensors += 1
        total = total + found.counts
        if found.counts.nans > 0 { withNaN.append(piece.name) }
        if isWeights, piece.isMatrix {
          weights = (weights.matrices + 1, weights.isZero && found.counts.zeros == found.counts.numbers)
        }
      }
      if tail.bytes >= ContentSample.leastTail {
        report.notices.append(
          Notice(path, .content(.zeroTail(bytes: tail.bytes, tensor: tail.tensor))))
      }
    }

    fileprivate struct Found {
      var bytes = 0
      var sum: UInt32 = 0
      var counts = NumberCounts()
      var zeroTail = 0
    }

    private mutating func read(_ piece: FileMap.Piece, of file: OpenFile) throws -> Found {
      var found = Found()
      while found.bytes < piece.range.count {
        if check.isCancelled() { throw CancellationError() }
        let start = piece.range.lowerBound + found.bytes
        let got = try block.withUnsafeMutableBytes { memory throws(SystemError) in
          let wanted = min(memory.count, piece.range.upperBound - start)
          let got = try file.readOnce(
            at: start, into: UnsafeMutableRawBufferPointer(rebasing: memory[..<wanted]))
          found.take(UnsafeRawBufferPointer(rebasing: memory[..<got]), piece)
          return got
        }
        // The file was cut meanwhile; a look at its size tells that.
        if got == 0 { break }
        report.bytes += got
        check.progress(got)
      }
      return found
    }

    mutating func end() -> Report {
      if weights.matrices > 0, weights.isZero {
        report.notices.append(
          Notice(nil, .content(.allZero(tensors: weights.matrices, sampled: false))))
      }
      if let example = withNaN.first {
        report.notices.append(
          Notice(
            nil,
            .content(
              .holdsNaN(numbers: total.nans, tensors: withNaN.count, of: report.tensors, example: example))))
      }
      return report
    }
  }
}

fileprivate extension DeepCheck.Scan.Found {
  mutating func take(_ memory: UnsafeRawBufferPointer, _ piece: FileMap.Piece) {
    bytes += memory.count
    if piece.sum != nil {
      sum = UInt32(crc32(UInt(sum), memory.bindMemory(to: UInt8.self).baseAddress, UInt32(memory.count)))
    }
    guard piece.isTensor else { return }
    if let dtype = piece.dtype { counts = counts + NumberCounts.of(memory, dtype: dtype) }
    let zeros = memory.count - (memory.lastIndex { $0 != 0 }.map { $0 + 1 } ?? 0)
    zeroTail = zeros == memory.count ? zeroTail + zeros : zeros
  }
}
