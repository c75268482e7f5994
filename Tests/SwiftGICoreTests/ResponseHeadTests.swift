import HTTPTypes
import SwiftGICore
import Testing

struct ResponseHeadTests {
    @Test("Statuses from 200 to 599 are accepted", arguments: [200, 204, 299, 304, 400, 599])
    func accepted(_ code: Int) throws {
        #expect(try ResponseHead(.init(code: code), [:]).status.code == code)
    }

    @Test("Other statuses are refused", arguments: [0, 99, 100, 103, 199, 600, 999])
    func refused(_ code: Int) {
        #expect(GatewayError.code { _ = try ResponseHead(.init(code: code), [:]) } == .invalidStatus)
    }

    @Test(
        "Hop-by-hop fields and Status are refused, however they are spelled",
        arguments: [
            "Connection", "keep-alive", "PROXY-AUTHENTICATE", "Proxy-Authorization", "Proxy-Connection", "TE",
            "Trailer",
            "Transfer-Encoding", "Upgrade", "Status",
        ])
    func hopByHop(_ name: String) throws {
        let field = HTTPField(name: try #require(HTTPField.Name(name)), value: "x")
        #expect(GatewayError.code { _ = try ResponseHead(.ok, HTTPFields([field])) } == .invalidField)
    }

    @Test(
        "Fields that only look like them are accepted",
        arguments: [
            "Connections", "X-Connection", "Trailers", "T", "Upgrade-Insecure-Requests", "X-Status", "Date", "Server",
        ])
    func similar(_ name: String) throws {
        let field = HTTPField(name: try #require(HTTPField.Name(name)), value: "x")
        #expect(try ResponseHead(.ok, HTTPFields([field])).fields.count == 1)
    }

    @Test("Control characters are refused", arguments: [0x01, 0x08, 0x0B, 0x0C, 0x1F, 0x7F] as [UInt8])
    func control(_ byte: UInt8) {
        let field = HTTPField(name: .eTag, lenientValue: [0x61, byte])
        #expect(GatewayError.code { _ = try ResponseHead(.ok, HTTPFields([field])) } == .invalidField)
    }

    @Test(
        "Tabs and bytes that are not ASCII are accepted",
        arguments: [[0x61, 0x09, 0x62], [0xE9], [0xC3, 0xA9]] as [[UInt8]])
    func bytes(_ value: [UInt8]) throws {
        let head = try ResponseHead(.ok, HTTPFields([HTTPField(name: .eTag, value: value)]))
        #expect(head.fields.first?.withUnsafeBytesOfValue({ $0.elementsEqual(value) }) == true)
    }

    @Test(
        "Content-Length is read",
        arguments: [("0", 0), ("5", 5), ("007", 7), ("9223372036854775807", .max)] as [(String, Int64)])
    func length(_ text: String, _ length: Int64) throws {
        #expect(try ResponseHead(.ok, [.contentLength: text]).contentLength == length)
    }

    @Test(
        "A Content-Length that is no number is refused",
        arguments: ["", "-1", "+1", "1 2", "1,1", "0x1", "9223372036854775808", "१"])
    func badLength(_ text: String) {
        #expect(GatewayError.code { _ = try ResponseHead(.ok, [.contentLength: text]) } == .invalidField)
    }

    @Test("Two Content-Lengths have to agree", arguments: [("5", GatewayError.Code?.none), ("6", .invalidField)])
    func twoLengths(_ second: String, _ expected: GatewayError.Code?) {
        var fields: HTTPFields = [.contentLength: "5"]
        fields.append(HTTPField(name: .contentLength, value: second))
        #expect(GatewayError.code { _ = try ResponseHead(.ok, fields) } == expected)
    }

    @Test("204 and 304 have no body, and so no type of it", arguments: [204, 304])
    func noBody(_ code: Int) throws {
        let head = try ResponseHead(.init(code: code), [.contentType: "text/plain", .eTag: "x"])
        #expect(!head.permitsBody)
        #expect(head.fields.map(\.name) == [.eTag])
        #expect(try ResponseHead(.ok, [.contentType: "text/plain"]).fields.count == 1)
    }
}
