import Glibc

// The runtime calls `swift_task_enqueueGlobal_hook`, where one is set, instead of its own thread pool
// (swift/stdlib/public/Concurrency/GlobalExecutor.cpp, Swift 5.5 to 6.3).

private typealias Enqueue = @convention(thin) (UnownedJob) -> Void
private typealias Hook = @convention(thin) (UnownedJob, Enqueue) -> Void

/// The scheduler that gets every job. Only the main thread touches it: with the hook in place there is no other.
nonisolated(unsafe) private var current: Scheduler?

/// Sends every job that would go to the thread pool to a scheduler from now on.
func takeOverJobs(for scheduler: Scheduler) {
  current = scheduler
  guard let symbol = dlsym(dlopen(nil, RTLD_NOW), "swift_task_enqueueGlobal_hook") else {
    fatalError("this Swift runtime has no hook for its jobs")
  }
  symbol.assumingMemoryBound(to: Hook?.self).pointee = { job, _ in current?.enqueue(job) }
}
