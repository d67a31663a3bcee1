Feature: Cancelling an order
  Until it is paid for, an order can be cancelled at no cost.

  Background:
    Given the shop has 5 fountain pens at 12.50 EUR each
    And a customer has ordered 2 fountain pens

  Rule: An unpaid order can be cancelled

    Scenario: She has changed her mind
      When the shop cancels her order
      Then her order is cancelled
      And 5 fountain pens are left
      And her card has not been charged

  Rule: A cancelled order stays cancelled

    Scenario: She wants to pay for it after all
      Given the shop has cancelled her order
      When she asks to pay
      Then that is refused: illegal transition
      And her order is cancelled
      And her card has not been charged

    Scenario: It is cancelled again
      Given the shop has cancelled her order
      When the shop cancels her order
      Then her order is cancelled

  Rule: An order that was paid for is refunded, not cancelled

    Scenario: She has paid
      Given she has paid
      When the shop cancels her order
      Then that is refused: illegal transition
      And her order is paid

  Rule: An order that was never paid for can be deleted

    Scenario: A cancelled order is deleted
      Given the shop has cancelled her order
      When the shop deletes her order
      Then her order is gone

    Scenario: A paid order is kept
      Given she has paid
      When the shop deletes her order
      Then that is refused: illegal transition
      And her order is paid
