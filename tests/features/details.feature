Feature: The details of an order
  What a shop and its customer note about an order can change while it is under way, and never what she pays.

  Background:
    Given the shop has 5 fountain pens at 12.50 EUR each
    And a customer has ordered 2 fountain pens

  Rule: A change is told, and one that changes nothing is not

    Scenario: A note
      When "Ring twice" is noted on her order
      Then her order bears the note "Ring twice"
      And the events of her order are: placed, details changed

    Scenario: The same note again
      Given "Ring twice" has been noted on her order
      When "Ring twice" is noted on her order
      Then the events of her order are: placed, details changed

  Rule: A mark is added to those that are there

    Scenario: Another mark
      Given her order has been marked "gift: yes"
      When her order is marked "channel: shop"
      Then her order bears the marks: channel: shop, gift: yes

    Scenario: A mark is taken off
      Given her order has been marked "gift: yes"
      When her order is no longer marked "gift"
      Then her order bears no mark

  Rule: Nobody changes what somebody else has changed meanwhile

    Scenario: The order was read before another note was made
      Given "Ring twice" has been noted on her order
      When "Leave it next door" is noted on her order as it was placed
      Then that is refused: precondition failed
      And her order bears the note "Ring twice"

  Rule: Details don't touch the money

    Scenario: A note on an order that is then paid for
      Given "Ring twice" has been noted on her order
      When she pays
      Then her card has been charged 25.00 EUR
