Feature: What an order waits for
  A person on duty asks where an order stands, and is told whose turn it is, why, and how it came there.

  Background:
    Given the shop has 5 fountain pens at 12.50 EUR each

  Rule: The answer names whose turn it is

    Scenario: It was placed
      When a customer orders 2 fountain pens
      Then her order waits for the customer: nobody has asked for its payment

    Scenario: It was paid for
      When a customer orders and pays for 2 fountain pens
      Then her order waits for the shop: it is paid for
      And it came there by: placed, payment requested, stock reserved, paid

    Scenario: The card was declined
      Given a customer has ordered 2 fountain pens
      And cards are being declined
      When she pays
      Then her order waits for the customer: the payment provider declined its payment

    Scenario: It was cancelled
      Given a customer has ordered 2 fountain pens
      When the shop cancels her order
      Then her order waits for nobody: it is CANCELLED
