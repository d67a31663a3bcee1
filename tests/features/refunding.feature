Feature: Giving the money back
  A customer who is refunded gets the whole total back, once, and the shop gets its units.

  Background:
    Given the shop has 5 fountain pens at 12.50 EUR each
    And a customer has ordered 2 fountain pens

  Rule: A refund gives back the money and the units

    Scenario: An order that was paid for
      Given she has paid
      When the shop refunds her order
      Then her order is refunded
      And her card has been charged 25.00 EUR and given it back
      And 5 fountain pens are left

    Scenario: An order that was completed
      Given she has paid
      And the shop has completed her order
      When the shop refunds her order
      Then her order is refunded
      And her card has been charged 25.00 EUR and given it back
      And 5 fountain pens are left

  Rule: A refund is given once

    Scenario: The shop asks for it again
      Given she has paid
      And the shop has refunded her order
      When the shop refunds her order
      Then that is not refused
      And her order is refunded
      And the refund has been recorded once
      And 5 fountain pens are left

  Rule: An order whose money is on its way back is not completed

    Scenario: The shop completes it by mistake
      Given she has paid
      And the shop has refunded her order
      When the shop completes her order
      Then that is refused: illegal transition
      And her order is refunded

  Rule: Only money that was taken is given back

    Scenario: She has not paid
      When the shop refunds her order
      Then that is refused: illegal transition
      And her order awaits payment

    Scenario: She wants to pay again for what was refunded
      Given she has paid
      And the shop has refunded her order
      When she asks to pay
      Then that is refused: illegal transition
      And her order is refunded
