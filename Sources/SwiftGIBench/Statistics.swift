extension [Double] {
    /// The middle value; 0 if there is none.
    var median: Double {
        guard !isEmpty else { return 0 }
        let ordered = sorted()
        let middle = count / 2
        return count.isMultiple(of: 2) ? (ordered[middle - 1] + ordered[middle]) / 2 : ordered[middle]
    }

    /// How far the values are apart: half of the distance between the largest and the smallest, as a
    /// part of the median.
    var spread: Double {
        guard let least = self.min(), let most = self.max(), median > 0 else { return 0 }
        return (most - least) / 2 / median
    }

    /// The value that so many of a hundred do not exceed.
    func percentile(_ percent: Double) -> Double {
        guard !isEmpty else { return 0 }
        let ordered = sorted()
        return ordered[Swift.min(count - 1, Int(Double(count) * percent / 100))]
    }
}
