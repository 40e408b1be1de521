extension Task where Failure == any Error {
  /// Its value, as `value` gives it; where the task that waits for it is cancelled, it is cancelled too.
  public var joined: Success {
    get async throws {
      try await withTaskCancellationHandler {
        try await value
      } onCancel: {
        cancel()
      }
    }
  }
}
