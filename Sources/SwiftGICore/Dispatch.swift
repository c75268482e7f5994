/// What a request came to. One table for all gateways.
package enum Outcome: Equatable {
    /// The response is complete.
    case completed
    /// The client went away.
    case clientGone
    /// 500, or an aborted response.
    case failed
    /// 413, or an aborted response.
    case tooLarge
    /// 400, or an aborted response.
    case badRequest
    /// 408, or an aborted response.
    case timedOut
    /// 504, or an aborted response: the time for the request was over.
    case expired
    /// 503, or an aborted response: the server ends.
    case stopped
}

extension Exchange {
    /// Serves the request with an application: the only place where errors become outcomes.
    package func serve(_ application: Application) -> Outcome {
        do {
            try respond(application)
            return conclude(nil)
        } catch {
            return conclude(error)
        }
    }

    /// Ends the request, with the error that it ended with.
    package func conclude(_ error: (any Error)?) -> Outcome {
        let outcome = error.map { self.outcome(of: $0) } ?? .completed
        finish()
        return outcome
    }

    /// Calls the application and sends what it returns.
    ///
    /// - Parameter changes: What was made of the environ before.
    package func respond(_ application: Application, changes: Environ.Changes? = nil) throws {
        waitsForClient = true
        defer { waitsForClient = false }
        var environ = Environ(self, changes: changes)
        let body = try application(&environ) { [self] status, fields, error in
            try startResponse(status, fields, error)
        }
        try send(body)
    }

    /// Sends a body and closes it.
    private func send(_ body: consuming Body) throws {
        switch body.content {
        case .empty:
            try send(Span<UInt8>(), last: true, known: 0)
        case .bytes(let bytes):
            try send(bytes.span, last: true, known: Int64(bytes.count))
        case .string(let string):
            try send(string.utf8.span, last: true, known: Int64(string.utf8.count))
        case .chunks(let chunks):
            try send(chunks)
        case .pull(let next):
            try requireStart()
            if !omitsBody {
                while let piece = try next() { try send(piece.span, flush: true) }
            }
            try sendEnd()
        case .push(let write):
            try requireStart()
            if !omitsBody {
                var writer = BodyWriter(self)
                try write(&writer)
            }
            try sendEnd()
        case .file(let file):
            try requireStart()
            try send(file)
        }
    }

    private func send(_ chunks: [[UInt8]]) throws {
        let known = chunks.reduce(0) { $0 + $1.count }
        guard let lastIndex = chunks.lastIndex(where: { !$0.isEmpty }) else {
            return try send(Span<UInt8>(), last: true, known: 0)
        }
        for (index, chunk) in chunks.enumerated() where index <= lastIndex {
            try send(chunk.span, last: index == lastIndex, known: Int64(known))
        }
    }

    private func send(_ file: BodyFile) throws(GatewayError) {
        switch try file.extent() {
        case .range(let offset, let length):
            try send(file, offset: offset, length: length)
        case .stream(var limit):
            // A stream may stay open behind the promised bytes: it is not read there.
            if let declared = declaredLength { limit = min(limit ?? declared, declared) }
            while !omitsBody, limit.map({ $0 > 0 }) ?? true {
                let piece = try file.read(Int(min(limit ?? BodyFile.pieceSize, BodyFile.pieceSize)))
                if piece.isEmpty { break }
                limit = limit.map { $0 - Int64(piece.count) }
                try send(piece.span, flush: true)
            }
            try sendEnd()
        }
    }

    /// The end of a body of unknown length: if nothing was sent, it turns out to be empty.
    private func sendEnd() throws(GatewayError) {
        let known: Int64? = isHeadSent || omitsBody ? nil : 0
        try send(Span<UInt8>(), last: true, known: known)
    }

    /// A body that does work must not do it for a response that can't be sent.
    private func requireStart() throws(GatewayError) {
        guard isStarted else { throw GatewayError(.startResponseNotCalled) }
    }

    private func fate(or status: Int) -> String {
        if isComplete { return "after its response" }
        return isHeadSent ? "response aborted" : "status \(status)"
    }

    private func outcome(of error: any Error) -> Outcome {
        if hasLostClient {
            log(.debug, "SGI0202: client closed the connection, request abandoned: \(error)")
            return .clientGone
        }
        let consequence = fate(or: 500)
        guard let gatewayError = error as? GatewayError else {
            log(.error, "SGI0201: application failed, \(consequence): \(error)")
            return .failed
        }
        switch gatewayError.code.kind {
        case .contentLengthExceeded where isComplete:
            log(.error, "SGI0203: body cut: \(gatewayError)")
            return .completed
        case .contentLengthNotReached:
            log(.error, "SGI0204: body too short, \(consequence): \(gatewayError)")
            return .failed
        case .bodyTooLarge, .lineTooLong:
            log(.error, "SGI0205: request body refused: \(gatewayError)")
            return .tooLarge
        case .malformedBody:
            log(.error, "SGI0206: request body could not be read: \(gatewayError)")
            return .badRequest
        case .timedOut where isOutputStalled:
            log(.error, "SGI0218: client took nothing of the response in time, \(consequence)")
            return .timedOut
        case .timedOut:
            log(.error, "SGI0207: request body did not come in time: \(gatewayError)")
            return .timedOut
        case .deadlineExceeded:
            log(.error, "SGI0216: request was not done in time and is cancelled, \(fate(or: 504))")
            return .expired
        case .serverStopped:
            log(.warning, "SGI0217: server ends, request cancelled, \(fate(or: 503))")
            return .stopped
        case .startResponseCalledTwice, .startResponseNotCalled, .invalidStatus, .invalidField,
            .contentLengthExceeded, .finished, .responseNotFinished:
            log(.error, "SGI0208: application broke the gateway contract, \(consequence): \(gatewayError)")
            return .failed
        case .input, .output, .clientGone:
            log(.error, "SGI0209: request failed, \(consequence): \(gatewayError)")
            return .failed
        }
    }
}
