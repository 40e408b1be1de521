/// What is wrong with the content of a repository's objects, as data.
public enum FormatError: Error, Equatable, Sendable {
  /// There is no repository at this place.
  case noRepository(place: String)
  /// `init` found something else there: an example of its keys.
  case occupied(place: String, example: String)
  /// There is a repository already.
  case exists(place: String)
  /// It was written by a newer ckbackup.
  case newerFormat(object: String, format: Int)
  /// An object's bytes are not those that its digest names.
  case digestMismatch(object: String)
  /// An object that is needed is not there.
  case missing(object: String)
  /// An object cannot be what it claims to be: `detail` says what is impossible in it.
  case invalid(object: String, detail: String)
  /// An object was not written, since no reader would take it: `detail` says of what there is too much.
  case tooLarge(object: String, detail: String)

  /// The key of the object that is wrong; nil where it is none's.
  public var object: String? {
    switch self {
    case .newerFormat(let object, _), .digestMismatch(let object), .missing(let object),
      .invalid(let object, _):
      object
    case .noRepository, .occupied, .exists, .tooLarge: nil
    }
  }

  /// Whether it means damage in the store, as against wrong use.
  public var isDamage: Bool {
    switch self {
    case .digestMismatch, .invalid, .missing: true
    case .noRepository, .occupied, .exists, .newerFormat, .tooLarge: false
    }
  }
}
