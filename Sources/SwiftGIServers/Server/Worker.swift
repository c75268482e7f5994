import Glibc

/// A thread of the server's pool, or the thread of a CGI program.
@safe final class Worker: @unchecked Sendable {
    // Sendable and safe: used by its own thread only.

    /// What a thread reads at a time.
    static let bufferSize = 65536

    /// Where connections read to, whose bytes then go where they belong.
    let buffer: UnsafeMutableRawBufferPointer

    /// The request that the thread serves now, for lines of the log that do not name one.
    var request: ServerRequest?

    /// Where its name is to be read when the process has died.
    private let place: RequestBoard.Place?

    /// - Parameter place: Of the thread that this is to be.
    init(_ place: RequestBoard.Place? = nil) {
        self.place = place
        unsafe buffer = .allocate(byteCount: Self.bufferSize, alignment: 16)
    }

    deinit { unsafe buffer.deallocate() }

    private static let key: pthread_key_t = {
        var key = pthread_key_t()
        unsafe pthread_key_create(&key, nil)
        return key
    }()

    /// The calling thread's.
    static var current: Worker? {
        guard let pointer = unsafe pthread_getspecific(key) else { return nil }
        return unsafe Unmanaged<Worker>.fromOpaque(pointer).takeUnretainedValue()
    }

    /// Does what is to be done for a request.
    func serve(_ request: ServerRequest, _ body: () -> Void) {
        self.request = request
        if let place { request.withLogID { place.write($0) } }
        body()
        place?.clear()
        self.request = nil
    }

    /// The request has its answer.
    func requestEnded() { place?.clear() }

    /// Makes this the calling thread's while `body` runs.
    func run(_ body: () -> Void) {
        // The value is taken back before the worker can go.
        unsafe pthread_setspecific(Self.key, Unmanaged.passUnretained(self).toOpaque())
        body()
        pthread_setspecific(Self.key, nil)
    }
}
