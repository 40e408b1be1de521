// Tells the thread sanitizer of what it cannot see: how a Synchronization.Mutex is waited for.
//
// A free Mutex is locked, and one that nobody waits for unlocked, by atomic instructions in the caller, where the sanitizer sees
// them. Otherwise `_lockSlow` and `_unlockSlow` leave it to the kernel (futex(2), FUTEX_LOCK_PI), in a library that is not
// instrumented: what came before an unlocking looks as if it ran beside what comes after the locking.
// The functions here take the place of the library's in callers that are linked with them. They call the library's and add the
// order that the lock has: who gets it sees what was done before it was let go. Nothing else is hidden from the sanitizer. Should
// the library's names change, these are not called, and the reports come back.
// Source: github.com/swiftlang/swift, stdlib/public/Synchronization/Mutex/LinuxImpl.swift.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define TRY_LOCK "$s15Synchronization12_MutexHandleV12_tryLockSlowSbyF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"
#define METHOD __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *mutex

METHOD void ck_lock_slow(uint32_t thread, SELF) __asm__(LOCK);
METHOD bool ck_try_lock_slow(SELF) __asm__(TRY_LOCK);
METHOD void ck_unlock_slow(SELF) __asm__(UNLOCK);

static void *library(const char *name) {
  void *function = dlsym(RTLD_NEXT, name);
  if (function == NULL) abort();
  return function;
}

METHOD void ck_lock_slow(uint32_t thread, SELF) {
  ((METHOD void (*)(uint32_t, SELF))library(LOCK))(thread, mutex);
  __tsan_acquire(mutex);
}

METHOD bool ck_try_lock_slow(SELF) {
  bool locked = ((METHOD bool (*)(SELF))library(TRY_LOCK))(mutex);
  if (locked) __tsan_acquire(mutex);
  return locked;
}

METHOD void ck_unlock_slow(SELF) {
  __tsan_release(mutex);
  ((METHOD void (*)(SELF))library(UNLOCK))(mutex);
}

#endif
#endif
