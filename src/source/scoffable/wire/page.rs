//! The envelope of one answer of the order stream.
//!
//! Hot: every byte of every page passes here, so the envelope is cut, not parsed. An order is whatever lies between
//! two commas of `data`; if it is garbage, [`super::decode`] finds out, and the page goes on. Everything around the
//! orders is read strictly, because a page that is not what it seems must not move the cursor.

use bytes::Bytes;
use serde::de::IgnoredAny;

use super::{
    RawOrder,
    scan::{self, ScanError},
};

/// One answer: orders in stream order, and where to go on.
#[derive(Clone, PartialEq, Eq)]
pub struct Page {
    pub orders: Vec<RawOrder>,
    /// Whether more is ready now. The only thing that says so: the number of orders does not.
    pub has_more: bool,
    /// Where to go on, also when nothing more is ready; opaque. Absent only when the stream has never held anything.
    pub next_page_id: Option<String>,
}

/// Cursors are not shown whole.
impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Page")
            .field("orders", &self.orders.len())
            .field("has_more", &self.has_more)
            .field("has_next_page_id", &self.next_page_id.is_some())
            .finish()
    }
}

/// The answer is not a page. The cursor must not move.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    #[error("the page ends too early, after {0} bytes")]
    Truncated(usize),
    #[error("the page is not JSON at byte {0}")]
    NotJson(usize),
    #[error("the page has no `{0}`")]
    Missing(&'static str),
    #[error("`{0}` of the page is not of the documented type")]
    WrongType(&'static str),
    #[error("the page has `{0}` twice")]
    Twice(&'static str),
    #[error("the page has more than {MAX_ORDERS} orders")]
    TooManyOrders,
}

/// A hundred are asked for. A body full of tiny elements must not grow a hundredfold in memory.
const MAX_ORDERS: usize = 10_000;

const DATA: &str = "data";
const HAS_MORE: &str = "hasMore";
const NEXT_PAGE_ID: &str = "nextPageId";

/// Reads an envelope.
pub fn parse_page(body: &Bytes) -> Result<Page, PageError> {
    let mut envelope = Envelope { body, at: 0 };
    let mut orders = None;
    let mut has_more = None;
    let mut next_page_id = None;

    envelope.skip_whitespace();
    envelope.expect(b'{')?;
    envelope.skip_whitespace();
    if envelope.peek()? == b'}' {
        return Err(PageError::Missing(DATA));
    }
    loop {
        let key: String = envelope.strict()?;
        envelope.skip_whitespace();
        envelope.expect(b':')?;
        envelope.skip_whitespace();
        match key.as_str() {
            DATA => once(&mut orders, DATA, envelope.orders()?)?,
            HAS_MORE => once(&mut has_more, HAS_MORE, envelope.typed::<Option<bool>>(HAS_MORE)?)?,
            NEXT_PAGE_ID => once(&mut next_page_id, NEXT_PAGE_ID, envelope.typed::<Option<String>>(NEXT_PAGE_ID)?)?,
            _ => {
                envelope.strict::<IgnoredAny>()?;
            }
        }
        envelope.skip_whitespace();
        match envelope.next()? {
            b',' => envelope.skip_whitespace(),
            b'}' => break,
            _ => return Err(PageError::NotJson(envelope.at - 1)),
        }
    }
    envelope.skip_whitespace();
    if envelope.at < body.len() {
        return Err(PageError::NotJson(envelope.at));
    }

    Ok(Page {
        orders: orders.flatten().ok_or(PageError::Missing(DATA))?,
        has_more: has_more.flatten().ok_or(PageError::Missing(HAS_MORE))?,
        next_page_id: next_page_id.flatten().filter(|cursor: &String| !cursor.is_empty()),
    })
}

fn once<T>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), PageError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(PageError::Twice(name)),
    }
}

struct Envelope<'b> {
    body: &'b Bytes,
    at: usize,
}

impl Envelope<'_> {
    /// The elements of `data`; `None` for null.
    fn orders(&mut self) -> Result<Option<Vec<RawOrder>>, PageError> {
        if self.peek()? != b'[' {
            return self.typed::<Option<[(); 0]>>(DATA).map(|_| None);
        }
        self.at += 1;
        self.skip_whitespace();
        let mut orders = Vec::new();
        if self.peek()? == b']' {
            self.at += 1;
            return Ok(Some(orders));
        }
        loop {
            let (start, end) = self.value()?;
            if orders.len() == MAX_ORDERS {
                return Err(PageError::TooManyOrders);
            }
            orders.push(RawOrder(self.body.slice(start..end)));
            self.skip_whitespace();
            match self.next()? {
                b',' => self.skip_whitespace(),
                b']' => return Ok(Some(orders)),
                _ => return Err(PageError::NotJson(self.at - 1)),
            }
        }
    }

    fn typed<T: serde::de::DeserializeOwned>(&mut self, name: &'static str) -> Result<T, PageError> {
        let (start, end) = self.value()?;
        serde_json::from_slice(&self.body[start..end])
            .map_err(|error| if error.is_data() { PageError::WrongType(name) } else { PageError::NotJson(start) })
    }

    fn strict<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, PageError> {
        let (start, end) = self.value()?;
        serde_json::from_slice(&self.body[start..end]).map_err(|_| PageError::NotJson(start))
    }

    fn value(&mut self) -> Result<(usize, usize), PageError> {
        let start = self.at;
        self.at = scan::value_end(self.body, start).map_err(|error| match error {
            ScanError::End => PageError::Truncated(self.body.len()),
            ScanError::NoValue => PageError::NotJson(start),
        })?;
        Ok((start, self.at))
    }

    fn peek(&self) -> Result<u8, PageError> {
        self.body.get(self.at).copied().ok_or(PageError::Truncated(self.body.len()))
    }

    fn next(&mut self) -> Result<u8, PageError> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    fn expect(&mut self, byte: u8) -> Result<(), PageError> {
        if self.next()? == byte { Ok(()) } else { Err(PageError::NotJson(self.at - 1)) }
    }

    fn skip_whitespace(&mut self) {
        self.at = scan::whitespace_end(self.body, self.at);
    }
}
