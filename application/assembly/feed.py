"""The feed of events."""

from attrs import frozen

from application.access.guarded import Guarded
from application.access.scopes import Scope
from application.assembly.shared import Shared
from application.feed.give_positions import GivePositions, PruneFeed
from application.feed.read_feed import FeedPage, ReadFeed
from application.feed.tail import FeedTail, Follower


@frozen(kw_only=True, slots=False)
class FeedUseCases:
    read_feed: Guarded[..., FeedPage]
    follow_feed: Guarded[..., Follower]
    give_positions: GivePositions
    prune_feed: PruneFeed
    feed_tail: FeedTail


def feed_use_cases(shared: Shared) -> FeedUseCases:
    ports, limits, uow = shared.ports, shared.limits, shared.uow
    read_feed = ReadFeed(uow)
    feed_tail = FeedTail(read_feed, ports.feed_signal, most=limits.followers_max)
    return FeedUseCases(
        read_feed=Guarded(Scope.EVENTS_READ, read_feed),
        follow_feed=Guarded(Scope.EVENTS_READ, feed_tail.follow),
        give_positions=GivePositions(uow, ports.feed_signal, ports.relay_name, limit=limits.relay_batch_max),
        prune_feed=PruneFeed(uow, limits.feed_retention),
        feed_tail=feed_tail,
    )
