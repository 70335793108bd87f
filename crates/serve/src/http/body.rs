//! What is sent back: all at once, or piece by piece for as long as somebody reads.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tokio::sync::mpsc::Receiver;

use super::meter::{Meter, Phase};

/// A body.
#[derive(Debug)]
pub(crate) struct Body {
    content: Content,
    meter: Option<Rc<Meter>>,
}

#[derive(Debug)]
enum Content {
    Whole(Option<Bytes>),
    Pieces(Receiver<Bytes>),
    /// With the bytes that are still to come. It ends: its reader is waited for as for any other.
    Sized(Receiver<Bytes>, u64),
}

impl Body {
    pub(crate) fn whole(content: impl Into<Bytes>) -> Self {
        Self {
            content: Content::Whole(Some(content.into())),
            meter: None,
        }
    }

    pub(crate) fn pieces(pieces: Receiver<Bytes>) -> Self {
        Self {
            content: Content::Pieces(pieces),
            meter: None,
        }
    }

    /// Pieces of which it is known how many bytes they are together.
    pub(crate) fn sized(pieces: Receiver<Bytes>, length: u64) -> Self {
        Self {
            content: Content::Sized(pieces, length),
            meter: None,
        }
    }

    /// Notes in a connection's meter how far its answer is.
    pub(crate) fn metered(mut self, meter: &Rc<Meter>) -> Self {
        match self.content {
            Content::Whole(_) => {}
            Content::Pieces(_) => meter.enter(Phase::Following),
            Content::Sized(..) => meter.enter(Phase::Writing),
        }
        self.meter = Some(Rc::clone(meter));
        self
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.content {
            Content::Whole(content) => {
                Poll::Ready(content.take().map(|content| Ok(Frame::data(content))))
            }
            Content::Pieces(pieces) => pieces
                .poll_recv(context)
                .map(|piece| piece.map(|piece| Ok(Frame::data(piece)))),
            Content::Sized(pieces, left) => pieces.poll_recv(context).map(|piece| {
                piece.map(|piece| {
                    *left = left.saturating_sub(piece.len() as u64);
                    Ok(Frame::data(piece))
                })
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(content) => content.as_ref().is_none_or(Bytes::is_empty),
            Content::Pieces(_) => false,
            Content::Sized(_, left) => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(content) => {
                SizeHint::with_exact(content.as_ref().map_or(0, |content| content.len() as u64))
            }
            Content::Pieces(_) => SizeHint::default(),
            Content::Sized(_, left) => SizeHint::with_exact(*left),
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        // All of it has been given to who writes it.
        if let Some(meter) = &self.meter {
            meter.enter(Phase::Writing);
        }
    }
}
