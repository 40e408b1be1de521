import ObjectStore
import Testing

@testable import Commands
@testable import Engine

@Test("requests that are tried again are told in the line, with the reason, and fit its width")
func troubleIsTold() {
  let progress = Progress()
  progress.begin(.send, total: 200)
  progress.add(done: 100)
  #expect(
    ProgressDisplay.line(progress.now, 0, since: 1, width: .max) == "sending 50 %, 100 B of 200 B, 0 B new")
  let error = StoreError.unreachable(endpoint: "http://nas:9000", reason: "Connection refused.")
  progress.stumble(over: ErrorText.trouble(error))
  let line = ProgressDisplay.line(progress.now, 0, since: 1, width: .max)
  #expect(line == "sending 50 %; trying again: http://nas:9000 cannot be reached (Connection refused)")
  #expect(ProgressDisplay.line(progress.now, 0, since: 1, width: 30).count == 30)
}

@Test("when the request is answered the trouble is over")
func troubleEnds() {
  let progress = Progress()
  progress.begin(.commit)
  progress.stumble(over: "the server fails")
  progress.recover()
  #expect(ProgressDisplay.line(progress.now, 0, since: 1, width: .max) == "committing")
}

@Test("of several repositories the one that is furthest behind is shown, until it has ended")
func partsAreJoined() {
  let (whole, first, second) = (Progress(), Progress(), Progress())
  whole.follow([first, second])
  for part in [first, second] { part.begin(.send, total: 100) }
  first.add(done: 70)
  first.add(transferred: 70)
  second.add(done: 20)
  second.add(transferred: 10)
  #expect(whole.now.done == 20 && whole.now.transferred == 80)
  second.begin(.commit)
  #expect(whole.now.phase == .send && whole.now.done == 70)
  first.end()
  #expect(whole.now.phase == .commit)
}
