//! A connection of a browser: one request under way, the next one on the same connection. It is not a library's, so that it takes less CPU time than
//! what it measures.

use std::net::SocketAddr;

use anyhow::Context;
use bytes::{Buf, Bytes, BytesMut};
use httparse::{EMPTY_HEADER, Response, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// More than any of the applications sends.
const HEADERS: usize = 32;

/// The connection.
#[derive(Debug)]
pub(super) struct Line {
    stream: TcpStream,
    address: SocketAddr,
    request: Vec<u8>,
    received: BytesMut,
}

/// A page.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) body: Bytes,
    /// What the browser keeps: the first cookie's name and value.
    pub(super) cookie: Option<String>,
}

impl Line {
    pub(super) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, address, request: Vec::new(), received: BytesMut::with_capacity(16 << 10) })
    }

    /// The page at this path; an error unless the answer is 200.
    pub(super) async fn get(&mut self, path: &str, cookie: Option<&str>) -> anyhow::Result<Page> {
        self.request.clear();
        let mut push = |texts: &[&str]| texts.iter().for_each(|text| self.request.extend_from_slice(text.as_bytes()));
        push(&["GET ", path, " HTTP/1.1\r\nHost: ", &self.address.ip().to_string(), "\r\n"]);
        if let Some(cookie) = cookie {
            push(&["Cookie: ", cookie, "\r\n"]);
        }
        push(&["\r\n"]);
        self.stream.write_all(&self.request).await?;
        loop {
            anyhow::ensure!(self.stream.read_buf(&mut self.received).await? > 0, "the connection ended");
            if let Some(page) = self.page()? {
                return Ok(page);
            }
        }
    }

    /// The page, if all of it has arrived.
    fn page(&mut self) -> anyhow::Result<Option<Page>> {
        let mut headers = [EMPTY_HEADER; HEADERS];
        let mut response = Response::new(&mut headers);
        let Status::Complete(head) = response.parse(&self.received)? else { return Ok(None) };
        let header = |name: &str| {
            let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(found.value).ok()
        };
        let length = header("content-length").and_then(|text| text.parse::<usize>().ok()).context("an answer without Content-Length")?;
        if self.received.len() < head + length {
            return Ok(None);
        }
        let (code, cookie) = (response.code, header("set-cookie").and_then(|text| text.split(';').next()).map(str::to_owned));
        self.received.advance(head);
        let body = self.received.split_to(length).freeze();
        anyhow::ensure!(code == Some(200), "the answer is {code:?}: {}", String::from_utf8_lossy(&body));
        Ok(Some(Page { body, cookie }))
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers one request with these pieces.
    async fn server(pieces: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            for piece in pieces {
                stream.write_all(piece.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        address
    }

    #[tokio::test]
    async fn a_page_may_come_in_pieces_and_brings_a_cookie() {
        let pieces = &["HTTP/1.1 200 OK\r\nset-cookie: id=7; Path=/\r\nContent-", "Length: 4\r\n\r\npa", "ge"];
        let page = Line::open(server(pieces).await).await.unwrap().get("/", None).await.unwrap();
        assert_eq!((&*page.body, page.cookie.as_deref()), (b"page".as_slice(), Some("id=7")));
    }

    #[tokio::test]
    async fn whatever_is_not_200_is_an_error() {
        let pieces = &["HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\nbusy"];
        let error = Line::open(server(pieces).await).await.unwrap().get("/", None).await.unwrap_err();
        assert_eq!(error.to_string(), "the answer is Some(500): busy");
    }
}
