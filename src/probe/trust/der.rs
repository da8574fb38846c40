//! The few steps of DER that an OCSP response needs: bounded, borrowed, never panicking.

/// One element: tag, content, and both with their length as they stood.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    pub(crate) whole: &'a [u8],
}

/// A row of elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a>(pub(crate) &'a [u8]);

impl<'a> Row<'a> {
    /// The next element, whatever it is.
    pub(crate) fn any(&mut self) -> Option<Element<'a>> {
        let bytes = self.0;
        let (&tag, rest) = bytes.split_first()?;
        // Tags above 30 take more bytes; nothing here has one.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x83 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (digits.iter().fold(0, |length, &d| length << 8 | usize::from(d)), rest)
            }
            _ => return None,
        };
        let (content, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some(Element { tag, content, whole: &bytes[..bytes.len() - after.len()] })
    }

    /// The next element, if it has this tag.
    pub(crate) fn next(&mut self, tag: u8) -> Option<Element<'a>> {
        (self.0.first() == Some(&tag)).then(|| self.any()).flatten()
    }
}

impl<'a> Element<'a> {
    /// What it is made of.
    pub(crate) fn row(self) -> Row<'a> {
        Row(self.content)
    }
}

/// The size of a big-endian number.
pub(crate) fn bits(number: &[u8]) -> usize {
    match number.iter().position(|&byte| byte != 0) {
        Some(at) => (number.len() - at) * 8 - number[at].leading_zeros() as usize,
        None => 0,
    }
}

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_number_leaves_leading_zeros_out() {
        assert_eq!(bits(&[0, 0, 1, 0]), 9);
        assert_eq!(bits(&[0x80; 64]), 512);
        assert_eq!(bits(&[0, 0]), 0);
    }

    #[test]
    fn an_element_reads_back_whole_and_a_short_one_is_none() {
        let mut row = Row(&[0x30, 3, 2, 1, 5, 4, 0]);
        let sequence = row.next(SEQUENCE).expect("a sequence");
        assert_eq!(sequence.whole, [0x30, 3, 2, 1, 5]);
        assert_eq!(sequence.row().next(INTEGER).map(|i| i.content), Some(&[5][..]));
        assert_eq!(row.next(INTEGER), None);
        assert!(row.next(OCTET_STRING).is_some() && row.0.is_empty());
        for short in [&[0x30, 4, 1][..], &[0x30, 0x84, 0, 0, 0, 1], &[0x1f, 1, 1], &[0x30, 0x82, 1]]
        {
            assert_eq!(Row(short).any(), None);
        }
    }
}
