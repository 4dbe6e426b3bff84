//! Kubernetes quantities (`250m`, `1Gi`), as far as comparing them goes. The resource's schema takes any text for them.

/// Value of a quantity; `None` if the text is none.
pub(crate) fn parse(text: &str) -> Option<f64> {
    let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.').map_or(0, |last| last + 1);
    let (number, suffix) = match text.find(['e', 'E']) {
        // An exponent (1e3), as opposed to exa (1E, 1Ei).
        Some(_) if text.ends_with(|c: char| c.is_ascii_digit()) => (text, ""),
        _ => text.split_at(end),
    };
    let factor = match suffix {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        "Pi" => 1024.0 * 1024.0 * 1024.0 * 1024.0 * 1024.0,
        "Ei" => 1024.0 * 1024.0 * 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let plain = number.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b)) && number.bytes().any(|b| b.is_ascii_digit());
    plain.then(|| number.parse::<f64>().ok()).flatten().map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_compare_across_units() {
        for (text, value) in [
            ("1", 1.0),
            ("250m", 0.25),
            ("1.5", 1.5),
            ("1k", 1000.0),
            ("1Ki", 1024.0),
            ("2E", 2e18),
            ("1e3", 1000.0),
            ("1Gi", 1_073_741_824.0),
        ] {
            assert_eq!(parse(text), Some(value), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_recognised() {
        for text in ["", "Gi", "1Gb", "1 Gi", "a1", "1KiB", "inf", "NaN", "é"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
