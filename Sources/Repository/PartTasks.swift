import ObjectStore
import Platform
import Synchronization

/// The parts of one upload, each sent by a task, numbered as they come.
final class PartTasks: Sendable {
  private struct State {
    var tasks: [Task<PartReceipt, any Error>] = []
    var digests: [[UInt8]] = []
    var offset = 0
    var failure: (any Error)?
  }
  private let state = Mutex(State())

  /// The MD5 of each part so far.
  var digests: [[UInt8]] { state.withLock { $0.digests } }

  /// Starts a part; `send` gets its number from 1 and the offset of its first byte. Throws what an earlier part failed with.
  func start(
    size: Int, md5: [UInt8],
    send: @escaping @Sendable (_ number: Int, _ offset: Int) async throws -> PartReceipt
  ) throws {
    let failure: (any Error)? = state.withLock { state in
      if let failure = state.failure { return failure }
      let (number, offset) = (state.tasks.count + 1, state.offset)
      state.digests.append(md5)
      state.offset += size
      state.tasks.append(
        Task {
          do {
            return try await send(number, offset)
          } catch {
            self.state.withLock { $0.failure = $0.failure ?? error }
            throw error
          }
        })
      return nil
    }
    if let failure { throw failure }
  }

  /// Waits for all parts. The first failure cancels the others.
  func receipts() async throws -> [PartReceipt] {
    let tasks = state.withLock { $0.tasks }
    return try await withTaskCancellationHandler {
      var receipts: [PartReceipt] = []
      do {
        for task in tasks { receipts.append(try await task.value) }
      } catch {
        for task in tasks { task.cancel() }
        throw state.withLock { $0.failure } ?? error
      }
      return receipts
    } onCancel: {
      for task in tasks { task.cancel() }
    }
  }

  /// Cancels all parts and waits until none is under way.
  func cancel() async {
    let tasks = state.withLock { $0.tasks }
    for task in tasks { task.cancel() }
    for task in tasks { _ = try? await task.value }
  }
}
