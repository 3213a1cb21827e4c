//! Requests of a front desk that another thread answers: the task waits on a ticket, the shard's mail resolves it.
//!
//! Only the number of the ticket crosses threads, so wakers stay on their executor.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::mailbox::Mailbox;
use crate::shard::ShardMail;

/// An answer on its way: what the ticket was opened for, and nothing else.
pub type Answer = Box<dyn Any + Send>;

enum Waiting {
    For(Option<Waker>),
    Has(Answer),
}

/// The open tickets of one shard.
#[derive(Default)]
pub struct Answers {
    open: RefCell<Open>,
}

#[derive(Default)]
struct Open {
    tickets: HashMap<u64, Waiting>,
    next: u64,
}

/// A place in the queue for an answer. Dropped, the answer is not waited for any more.
pub struct Ticket<T> {
    number: u64,
    answers: Rc<Answers>,
    answer: PhantomData<T>,
}

impl Answers {
    /// Opens a ticket, and makes what sends its answer from another thread.
    pub fn ticket<T: Send + 'static>(
        self: &Rc<Self>,
        mailbox: &Arc<Mailbox<ShardMail>>,
    ) -> (Ticket<T>, impl FnOnce(T) + Send + use<T>) {
        let mut open = self.open.borrow_mut();
        let number = open.next;
        open.next += 1;
        open.tickets.insert(number, Waiting::For(None));
        let mailbox = mailbox.clone();
        let send = move |answer| mailbox.post(ShardMail::Answer(number, Box::new(answer)));
        (Ticket { number, answers: self.clone(), answer: PhantomData }, send)
    }

    /// Brings an answer to whoever waits for it.
    pub fn resolve(&self, number: u64, answer: Answer) {
        let mut open = self.open.borrow_mut();
        let Some(waiting) = open.tickets.get_mut(&number) else { return };
        if let Waiting::For(Some(waker)) = std::mem::replace(waiting, Waiting::Has(answer)) {
            waker.wake();
        }
    }
}

impl<T: 'static> Ticket<T> {
    /// Waits for the answer, but not for ever: a thread that is stuck must not keep everybody who asks it.
    pub async fn answer_within(self, patience: Duration) -> Option<T> {
        let impatient = async {
            glommio::timer::sleep(patience).await;
            None
        };
        futures_lite::future::or(async { Some(self.answer().await) }, impatient).await
    }

    async fn answer(&self) -> T {
        poll_fn(|context| {
            let mut open = self.answers.open.borrow_mut();
            let waiting = open.tickets.get_mut(&self.number).expect("a ticket is open until it is dropped");
            match std::mem::replace(waiting, Waiting::For(Some(context.waker().clone()))) {
                Waiting::Has(answer) => {
                    Poll::Ready(*answer.downcast().expect("a ticket gets the answer it was made for"))
                }
                Waiting::For(_) => Poll::Pending,
            }
        })
        .await
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        self.answers.open.borrow_mut().tickets.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Doorbell;

    #[test]
    fn an_answer_reaches_its_own_ticket_and_a_late_one_nobody() {
        let answers = Rc::new(Answers::default());
        let mailbox = Arc::new(Mailbox::new(Doorbell::new().unwrap()));
        let (first, send_first) = answers.ticket::<&str>(&mailbox);
        let (second, send_second) = answers.ticket::<u64>(&mailbox);
        send_second(2);
        send_first("one");
        let mut mail = Vec::new();
        mailbox.collect(&mut mail);
        drop(second);
        for message in mail {
            let ShardMail::Answer(ticket, answer) = message else { panic!("only answers were sent") };
            answers.resolve(ticket, answer);
        }
        assert_eq!(futures_lite::future::block_on(first.answer()), "one");
        drop(first);
        assert!(answers.open.borrow().tickets.is_empty(), "nothing is kept");
    }

    #[test]
    fn nobody_waits_for_ever_for_an_answer_that_does_not_come() {
        glommio::LocalExecutor::default().run(async {
            let answers = Rc::new(Answers::default());
            let mailbox = Arc::new(Mailbox::new(Doorbell::new().unwrap()));
            let (ticket, _send) = answers.ticket::<u64>(&mailbox);
            assert_eq!(ticket.answer_within(Duration::from_millis(10)).await, None);
            assert!(answers.open.borrow().tickets.is_empty(), "nothing is kept");
        });
    }
}
