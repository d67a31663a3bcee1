Feature: The same request arrives twice
  Messages get repeated on their way. Repeating one changes nothing.

  Background:
    Given the shop has 5 fountain pens at 12.50 EUR each
    And a customer has ordered 2 fountain pens

  Rule: A payment that is asked for twice is taken once

    Scenario: The request of a payment that was taken
      Given she has paid
      When the request for her payment arrives again
      Then her order is paid
      And her card has been charged 25.00 EUR
      And the payment has been recorded once
      And 3 fountain pens are left

    Scenario: The request of a payment that was declined
      Given cards are being declined
      And she has paid
      And cards are being accepted
      When the request for her payment arrives again
      Then her order has failed: payment declined
      And her card has not been charged
      And 5 fountain pens are left

    Scenario: The request of a payment for which there was too little stock
      Given a customer has ordered 7 fountain pens
      And she has paid
      And the shop has received 4 fountain pens
      When the request for her payment arrives again
      Then her order has failed: out of stock
      And her card has not been charged
      And 9 fountain pens are left

  Rule: Money is given back once

    Scenario: The request of a refund that was given
      Given she has paid
      And the shop has refunded her order
      When the request for her refund arrives again
      Then her order is refunded
      And the refund has been recorded once
      And 5 fountain pens are left
