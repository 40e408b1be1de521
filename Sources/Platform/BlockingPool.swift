import Glibc

/// Threads for calls that block (file I/O, hashing), so that Swift's cooperative pool never waits for a disk.
///
/// A job runs to its end once it began; a task that is cancelled while its job is queued still gets the job's result.
public final class BlockingPool: Sendable {
  private let queue: JobQueue?

  /// Starts `threads` threads; they end when the pool is gone and its jobs are done. With 0 each job runs on its caller, which is for
  /// simulations that must not depend on threads.
  public init(threads: Int) {
    guard threads > 0 else {
      queue = nil
      return
    }
    let queue = JobQueue()
    for _ in 0..<threads { startThread { queue.work() } }
    self.queue = queue
  }

  deinit { queue?.close() }

  /// Runs `job` on one of the threads and gives its result or error.
  public func run<Result: Sendable>(_ job: @escaping @Sendable () throws -> Result) async throws -> Result {
    guard let queue else { return try job() }
    return try await withCheckedThrowingContinuation { continuation in
      queue.add { continuation.resume(with: Swift.Result { try job() }) }
    }
  }
}

/// Starts a detached thread that runs `body`.
public func startThread(_ body: @escaping @Sendable () -> Void) {
  final class Box: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
  var thread = pthread_t()
  let box = Unmanaged.passRetained(Box(body))
  let code = pthread_create(
    &thread, nil,
    { pointer in
      guard let pointer else { return nil }
      Unmanaged<Box>.fromOpaque(pointer).takeRetainedValue().body()
      return nil
    }, box.toOpaque())
  precondition(code == 0, "no thread could be started: \(String(cString: strerror(code)))")
  pthread_detach(thread)
}

/// A first-in-first-out queue that threads sleep on.
///
/// It may be unchecked Sendable because every use of `jobs` and `closed` holds `mutex`, and mutex and condition live at fixed addresses.
private final class JobQueue: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var jobs: [@Sendable () -> Void] = []
  private var closed = false

  init() {
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  func add(_ job: @escaping @Sendable () -> Void) {
    pthread_mutex_lock(mutex)
    jobs.append(job)
    pthread_mutex_unlock(mutex)
    pthread_cond_signal(condition)
  }

  func close() {
    pthread_mutex_lock(mutex)
    closed = true
    pthread_mutex_unlock(mutex)
    pthread_cond_broadcast(condition)
  }

  /// Runs jobs until the queue is closed and empty.
  func work() {
    while true {
      pthread_mutex_lock(mutex)
      while jobs.isEmpty && !closed { pthread_cond_wait(condition, mutex) }
      guard !jobs.isEmpty else {
        pthread_mutex_unlock(mutex)
        return
      }
      let job = jobs.removeFirst()
      pthread_mutex_unlock(mutex)
      job()
    }
  }
}
