Feature: Asking what an order would cost
  A customer can ask first. It costs nothing, and promises nothing.

  Background:
    Given the shop has 5 fountain pens at 12.50 EUR each

  Rule: She is told what the order would be

    Scenario: There is enough
      When a customer asks what 2 fountain pens would cost
      Then she is told 25.00 EUR, and that it is in stock
      And she has 0 orders
      And 5 fountain pens are left

    Scenario: There is too little
      When a customer asks what 7 fountain pens would cost
      Then she is told 87.50 EUR, and that there is too little in stock

  Rule: She is refused what the order would be refused

    Scenario: What the shop does not sell
      When a customer asks what 1 unicorn would cost
      Then that is refused: unknown product

    Scenario: What is not for sale
      Given the shop has taken fountain pens out of sale
      When a customer asks what 1 fountain pen would cost
      Then that is refused: not for sale
