Feature: Repeating a request
  A response can get lost. A customer who sends a key with her request can safely repeat the request under it:
  she gets the first response again, and nothing happens twice.

  Background:
    Given the shop has 5 fountain pens at 12.50 EUR each

  Rule: One key is one order

    Scenario: The answer to her order got lost
      Given a customer has ordered 2 fountain pens under the key "monday"
      When she orders 2 fountain pens under the key "monday"
      Then she is told the same as before
      And she has 1 order

    Scenario: She asks again when her order is paid already
      Given a customer has ordered 2 fountain pens under the key "monday"
      And she has paid
      When she orders 2 fountain pens under the key "monday"
      Then she is told the same as before
      And she has 1 order
      And her order is paid

    Scenario: She orders more of the same under a new key
      Given a customer has ordered 2 fountain pens under the key "monday"
      When she orders 2 fountain pens under the key "tuesday"
      Then she has 2 orders

    Scenario: Without a key each request is an order
      Given a customer has ordered 2 fountain pens
      When she orders 2 fountain pens
      Then she has 2 orders

  Rule: A key stands for one request of one customer

    Scenario: Something else under the same key
      Given a customer has ordered 2 fountain pens under the key "monday"
      When she orders 3 fountain pens under the key "monday"
      Then that is refused: idempotency key reused
      And she has 1 order

    Scenario: Another customer has chosen the same key
      Given a customer has ordered 2 fountain pens under the key "monday"
      When another customer orders 2 fountain pens under the key "monday"
      Then she has 1 order
      And her order awaits payment

  Rule: A refusal is an answer, too

    Scenario: Something that the shop does not sell
      Given a customer has ordered 1 unicorn under the key "monday"
      When she orders 1 unicorn under the key "monday"
      Then that is refused: unknown product
      And she has 0 orders

  Rule: One key is one attempt to pay

    Scenario: The answer to her request to pay got lost, and her card was declined meanwhile
      Given a customer has ordered 2 fountain pens
      And cards are being declined
      And she has asked to pay under the key "monday"
      And cards are being accepted
      When she asks to pay under the key "monday"
      Then she is told the same as before
      And her order has failed: payment declined
      And her card has not been charged

    Scenario: She tries once more under a new key
      Given a customer has ordered 2 fountain pens
      And cards are being declined
      And she has asked to pay under the key "monday"
      And cards are being accepted
      When she asks to pay under the key "tuesday"
      Then her order is paid
      And her card has been charged 25.00 EUR
