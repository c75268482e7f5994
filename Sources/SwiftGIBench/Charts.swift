import Foundation

/// SVG without a library: two charts do not need one.
struct Charts {
    let report: Report

    private static let colours = [
        Contestants.limit: "#6e7781", "swiftgi": "#f05138", "swiftgi-async": "#bf3989", "swiftgi-daemon": "#0969da",
    ]

    private static func isOurs(_ name: String) -> Bool { name.hasPrefix("swiftgi") }

    private func document(_ width: Int, _ height: Int, _ content: String) -> String {
        """
        <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(width) \(height)" width="\(width)" height="\(height)" \
        font-family="system-ui, sans-serif" font-size="12">
        <rect width="\(width)" height="\(height)" fill="#ffffff"/>
        \(content)</svg>

        """
    }

    private func text(
        _ x: Double, _ y: Double, _ string: String, anchor: String = "start", colour: String = "#1f2328",
        weight: String = "normal"
    ) -> String {
        """
        <text x="\(number(x))" y="\(number(y))" text-anchor="\(anchor)" fill="\(colour)" \
        font-weight="\(weight)">\(string)</text>

        """
    }

    private func number(_ value: Double) -> String { String(format: "%.1f", value) }

    /// A number as people write it: 12,345 or 1.5.
    private func people(_ value: Double) -> String {
        if value > 0, value < 10 { return String(format: "%.1f", value) }
        var digits = String(Int(value.rounded()))
        var index = digits.count - 3
        while index > 0 {
            digits.insert(",", at: digits.index(digits.startIndex, offsetBy: index))
            index -= 3
        }
        return digits
    }

    // MARK: Bars

    /// Requests per second of hello; `nil` if it was not measured.
    var bars: String? {
        let rows = report.rows(of: "hello")
        guard let most = rows.map(\.throughput).max(), most > 0 else { return nil }
        let (left, width, step) = (170.0, 400.0, 24.0)
        var content = text(12, 24, "Requests per second: hello, world", weight: "bold")
        content += text(
            12, 42, "16 connections; of the handler in C in brackets; higher is better", colour: "#59636e")
        for (index, row) in rows.enumerated() {
            let y = 58 + Double(index) * step
            let ours = Self.isOurs(row.contestant)
            let colour = Self.colours[row.contestant] ?? "#afb8c1"
            let length = width * row.throughput / most
            content += text(left - 8, y + 13, row.contestant, anchor: "end", weight: ours ? "bold" : "normal")
            content += """
                <rect x="\(number(left))" y="\(number(y))" width="\(number(length))" height="18" fill="\(colour)"/>

                """
            let ratio = row.ratio.map { String(format: " (%.2f)", $0) } ?? ""
            content += text(left + length + 6, y + 13, people(row.throughput) + ratio)
        }
        return document(700, Int(70 + Double(rows.count) * step), content)
    }

    // MARK: Growth

    /// Requests per second and processor time against what grows; `nil` if nothing was measured.
    var growth: String? {
        let curves = Curve.all.filter { curve in
            Curve.contestants.contains { report.line(curve.name, $0).count > 1 }
        }
        guard !curves.isEmpty else { return nil }
        var content = ""
        var x = 12.0
        for name in Curve.contestants where curves.contains(where: { !report.line($0.name, name).isEmpty }) {
            content += """
                <rect x="\(number(x))" y="14" width="12" height="12" fill="\(Self.colours[name] ?? "#000000")"/>

                """
            content += text(x + 18, 24, name)
            x += 130
        }
        for (index, curve) in curves.enumerated() {
            let y = 50 + Double(index) * 210
            content += panel(curve, x: 60, y: y, "Requests per second against \(curve.title)") { $0.throughput }
            content += panel(curve, x: 480, y: y, "CPU µs per request against \(curve.title)") { $0.processor }
        }
        return document(860, 60 + curves.count * 210, content)
    }

    private func panel(
        _ curve: Curve, x: Double, y: Double, _ title: String,
        value: ((point: Int, throughput: Double, processor: Double)) -> Double
    ) -> String {
        let (width, height) = (340.0, 140.0)
        let lines = Curve.contestants.map { name in (name: name, points: report.line(curve.name, name)) }
            .filter { !$0.points.isEmpty }
        let points = Set(lines.flatMap { $0.points.map(\.point) }).sorted()
        let values = lines.flatMap { $0.points.map(value) }
        guard let most = values.max(), most > 0, points.count > 1 else { return "" }
        // Sizes and connections span powers of ten, and so does what they cost.
        let isLogarithmic = curve.name == "body"
        let least = isLogarithmic ? max(values.min() ?? 1, most / 1e6) : 0
        func place(_ value: Double) -> Double {
            let part = isLogarithmic ? log(value / least) / log(most / least) : value / most
            return y + 20 + height * (1 - part)
        }
        func column(_ point: Int) -> Double {
            x + width * Double(points.firstIndex(of: point) ?? 0) / Double(points.count - 1)
        }
        var content = text(x, y + 8, title, weight: "bold")
        for part in [0, 0.5, 1] {
            let value = isLogarithmic ? least * pow(most / least, part) : most * part
            let line = place(value)
            content += """
                <line x1="\(number(x))" x2="\(number(x + width))" y1="\(number(line))" y2="\(number(line))" \
                stroke="#d1d9e0"/>

                """
            content += text(x - 6, line + 4, people(value), anchor: "end", colour: "#59636e")
        }
        for point in points {
            content += text(column(point), y + height + 36, label(point, curve), anchor: "middle", colour: "#59636e")
        }
        for line in lines {
            let path = line.points.map { "\(number(column($0.point))),\(number(place(value($0))))" }
            content += """
                <polyline points="\(path.joined(separator: " "))" fill="none" \
                stroke="\(Self.colours[line.name] ?? "#000000")" stroke-width="2"/>

                """
        }
        return content
    }

    private func label(_ point: Int, _ curve: Curve) -> String {
        guard curve.name == "body", point > 0 else { return people(Double(point)).replacing(".0", with: "") }
        return point >= 1 << 20 ? "\(point >> 20) MiB" : "\(point >> 10) KiB"
    }
}
